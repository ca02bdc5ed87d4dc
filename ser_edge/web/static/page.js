// What all parts of the page share: the service's description, elements, and how results are shown.

export const state = { model: null, profile: null };

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, '');
    else if (value !== false && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function trouble(sentence) {
  const place = byId('trouble');
  place.textContent = sentence || '';
  place.hidden = !sentence;
}

// The service's answer, or an error with its sentence.
export async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error('the service does not answer');
  }
  if (answer.ok) return answer;
  let sentence = `the service answers with ${answer.status}`;
  try {
    sentence = (await answer.json()).error || sentence;
  } catch { /* no JSON */ }
  throw new Error(sentence);
}

export const labels = () => state.profile ? state.profile.labels : state.model.labels;

const OTHERS = ['#56B4E9', '#E69F00', '#0072B2', '#D55E00', '#CC79A7', '#009E73'];

// Black is the colour of the text, so that it is seen in the dark.
export function color(label) {
  const known = state.model.colors[label] || state.model.model_colors[label];
  const found = known || OTHERS[Math.max(0, labels().indexOf(label)) % OTHERS.length];
  return found.toUpperCase() === '#000000' ? 'currentColor' : found;
}

const REASONS = {
  silence: 'silence', too_short: 'too little speech', no_speech: 'no speech',
};

// Reasons for which there are scores, but none is sure enough.
const UNSURE = { uncertain: 'uncertain', unfamiliar: 'uncertain: an unfamiliar voice, room or microphone' };

export const unsure = (result) => result.reason in UNSURE;

export const percent = (share) => `${Math.round(100 * share)} %`;

export const verdict = (result) => result.label === null
  ? UNSURE[result.reason] || `no emotion (${REASONS[result.reason]})`
  : `${result.label} ${percent(result.confidence)}`;

export function swatch(label) {
  const made = element('span', { class: 'swatch' });
  made.style.background = color(label);
  return made;
}

// The probabilities of one result, highest first.
export function bars(result) {
  const made = element('div', { class: 'bars' });
  const ranking = Object.entries(result.scores || {}).sort((a, b) => b[1] - a[1]);
  for (const [label, score] of ranking) {
    const bar = element('div', { class: 'bar' });
    bar.style.width = `${100 * score}%`;
    bar.style.background = color(label);
    made.append(element('span', {}, label), element('div', { class: 'track' }, bar),
      element('span', {}, percent(score)));
  }
  return made;
}

export function clock(seconds) {
  const whole = Math.round(seconds);
  const pad = (n) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}
