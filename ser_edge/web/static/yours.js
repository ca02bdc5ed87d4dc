// Make it yours: clips of each mood become a profile.

import { ask, byId, element, percent, state, trouble } from '/page.js';
import { Microphone, level, wav } from '/microphone.js';

const CLIPS = 5, SECONDS = 4;
const REMEDIES = {
  silence: 'nothing was heard: is it the right microphone, is it muted?',
  too_short: 'there was too little speech: speak right away, a whole sentence',
  no_speech: 'no speech was heard: come closer, or turn off what is humming',
  clipped: 'it was too loud: move back, or turn the microphone down',
};
const NAMES = {
  en: 'English', de: 'Deutsch', fr: 'Français', es: 'Español', it: 'Italiano', nl: 'Nederlands',
  pl: 'Polski', pt: 'Português', tr: 'Türkçe',
};
const clips = new Map(); // of each mood
let recording = false;
let onUse = () => {};

const say = (text) => { byId('say').textContent = text; };

const enough = () => [...clips.values()].filter((found) => found.length).length > 1;

function render() {
  const rows = [...clips].map(([mood, found]) => element('li', { 'data-mood': mood },
    element('span', { class: 'name' }, mood),
    element('span', { class: 'soft' }, `${found.length} of ${CLIPS}`),
    element('button', {
      type: 'button', class: 'record', disabled: recording || found.length >= CLIPS,
      'aria-label': `Record ${mood}`, onclick: () => record(mood),
    }, 'Record'),
    element('button', {
      type: 'button', class: 'plain', disabled: recording,
      'aria-label': found.length ? `Forget the last clip of ${mood}` : `Leave out ${mood}`,
      onclick: () => { if (found.length) found.pop(); else clips.delete(mood); render(); },
    }, found.length ? 'Forget the last' : 'Leave out')));
  byId('moods').replaceChildren(...rows);
  byId('make').disabled = recording || !enough();
}

const isClipped = (chunks) => {
  let clipped = 0, all = 0;
  for (const chunk of chunks) {
    all += chunk.length;
    for (const sample of chunk) clipped += Math.abs(sample) >= 32734;
  }
  return clipped > all / 1000;
};

async function take(onLevel) {
  const chunks = [];
  const microphone = new Microphone();
  try {
    await microphone.open((samples) => { chunks.push(samples); onLevel(level(samples)); });
    await new Promise((resolve) => { setTimeout(resolve, 1000 * SECONDS); });
  } finally {
    microphone.close();
  }
  return { chunks, rate: microphone.rate };
}

async function record(mood) {
  const found = clips.get(mood);
  const lines = state.model.sentences[byId('language').value];
  recording = true;
  render();
  trouble('');
  say(`${mood}: “${lines[found.length % lines.length]}”`);
  try {
    const { chunks, rate } = await take(() => {});
    const clip = wav(chunks, rate);
    // The model alone tells whether there is speech in it.
    const answer = await ask('/v1/classify?profile=none', { method: 'POST', body: clip });
    const { reason } = await answer.json();
    const wrong = isClipped(chunks) ? 'clipped' : reason;
    if (REMEDIES[wrong]) {
      say(`Again, please: ${REMEDIES[wrong]}`);
    } else {
      found.push(clip);
      say(`Good: ${mood}, ${found.length} of ${CLIPS}`);
    }
  } catch (error) {
    say('');
    trouble(error.message);
  }
  recording = false;
  render();
  const row = byId('moods').querySelector(`[data-mood="${CSS.escape(mood)}"] .record`);
  (row?.disabled ? byId('moods').querySelector('.record:not(:disabled)') || byId('make') : row)?.focus();
}

function report(made) {
  const rows = made.recalls.map((recall) => element('tr', {}, element('td', {}, recall.label),
    ...['before', 'after'].map((when) => element('td', { class: 'number' },
      recall.clips ? percent(recall[when] / recall.clips) : '-'))));
  const head = element('tr', {}, element('th', { scope: 'col' }, 'emotion'),
    element('th', { scope: 'col', class: 'number' }, 'before'),
    element('th', { scope: 'col', class: 'number' }, 'after'));
  return element('table', {}, element('caption', {}, 'Right answers, each clip by a profile made without it'),
    element('thead', {}, head), element('tbody', {}, ...rows));
}

async function make() {
  const form = new FormData();
  for (const [mood, found] of clips) {
    found.forEach((clip, number) => form.append(mood, clip, `${mood}-${number + 1}.wav`));
  }
  byId('make').disabled = true;
  trouble('');
  try {
    const made = await (await ask('/v1/profile', { method: 'POST', body: form })).json();
    const file = new Blob([JSON.stringify(made.profile)], { type: 'application/json' });
    const link = element('a', { href: URL.createObjectURL(file), download: 'voice.json', id: 'download' }, 'Download voice.json');
    const verdict = made.gains === null
      ? 'One clip of each mood is too few to judge by; the profile is made all the same.'
      : made.gains ? 'It answers better than the model alone.'
        : 'It answers no better than the model alone: more clips may help.';
    const doubts = made.doubts.map((doubt) => element('p', {}, doubt.sounds_like
      ? `${doubt.file} sounds more like ${doubt.sounds_like}.` : `${doubt.file} is unlike all others.`));
    byId('made').replaceChildren(element('p', {}, verdict), report(made), ...doubts,
      element('p', {}, link, ' and use it with ', element('code', {}, '--profile voice.json'), ', or ',
        element('button', { type: 'button', class: 'plain', id: 'use', onclick: () => onUse(made.profile) }, 'use it on this page')));
  } catch (error) {
    trouble(error.message);
  }
  render();
}

export function start(use) {
  onUse = use;
  for (const mood of state.model.model_labels) clips.set(mood, []);
  for (const language of Object.keys(state.model.sentences)) {
    byId('language').append(element('option', { value: language }, NAMES[language] || language));
  }
  const own = navigator.language.slice(0, 2);
  byId('language').value = own in state.model.sentences ? own : 'en';
  byId('add').addEventListener('click', () => {
    const mood = byId('mood').value.trim().toLowerCase();
    if (mood && !clips.has(mood)) clips.set(mood, []);
    byId('mood').value = '';
    render();
  });
  byId('mood').addEventListener('keydown', (event) => {
    if (event.key === 'Enter') byId('add').click();
  });
  byId('make').addEventListener('click', make);
  byId('own').addEventListener('change', async (event) => {
    try {
      const profile = JSON.parse(await event.target.files[0].text());
      if (!Array.isArray(profile.labels)) throw new Error();
      onUse(profile);
    } catch {
      trouble('that file is no profile');
    }
  });
  render();
}
