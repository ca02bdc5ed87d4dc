// Recordings that are chosen or dropped.

import { ask, bars, byId, clock, element, state, verdict } from '/page.js';
import { draw } from '/timeline.js';

function form(file) {
  const made = new FormData();
  made.append('file', file, file.name);
  if (state.profile) made.append('profile', JSON.stringify(state.profile));
  return made;
}

async function show(file, timeline) {
  const title = element('h3', {}, file.name);
  const verdictLine = element('p', {}, 'listening …');
  const place = element('div');
  const article = element('article', {}, title, verdictLine, place);
  byId('answers').prepend(article);
  try {
    if (file.size > state.model.max_bytes) {
      throw new Error(`it is larger than ${Math.round(state.model.max_bytes / 1e6)} MB`);
    }
    const whole = await (await ask('/v1/classify', { method: 'POST', body: form(file) })).json();
    const strong = element('strong', {}, verdict(whole));
    verdictLine.replaceChildren(strong, ` (${clock(whole.end)})`);
    place.append(bars(whole));
    if (timeline && whole.end > state.model.window_seconds) {
      const answer = await ask('/v1/classify?windows=1', { method: 'POST', body: form(file) });
      const results = (await answer.text()).trim().split('\n').map((line) => JSON.parse(line));
      const drawn = element('div', { class: 'timeline' });
      place.append(drawn);
      draw(drawn, results);
    }
  } catch (error) {
    verdictLine.textContent = error.message;
  }
}

async function showAll(files) {
  for (const file of files) await show(file, byId('windows').checked);
}

export function start() {
  const input = byId('files');
  const drop = byId('drop');
  input.addEventListener('change', async () => {
    const files = [...input.files];
    await showAll(files);
    input.value = '';
  });
  for (const kind of ['dragenter', 'dragover']) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add('over');
    });
  }
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    showAll(event.dataTransfer.files);
  });
}
