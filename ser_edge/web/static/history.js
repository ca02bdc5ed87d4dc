// Today and this week, as shares of the time in which somebody spoke.

import { ask, byId, clock, color, element, labels, percent, trouble } from '/page.js';
import { hatching, svg } from '/timeline.js';

const HOUR = 3600, DAY = 86400;
const WIDTH = 360, HEIGHT = 160, BOTTOM = 20;
const UNCERTAIN = 'uncertain';

// Seconds of speech by kind: emotions in the order of the legend, then what the model does not know.
function spoken(bin) {
  const kinds = [...labels(), UNCERTAIN];
  const place = (kind) => (kinds.includes(kind) ? kinds.indexOf(kind) : kinds.length);
  const { unfamiliar = 0, ...seconds } = bin;
  if (unfamiliar) seconds[UNCERTAIN] = (seconds[UNCERTAIN] || 0) + unfamiliar;
  return Object.entries(seconds)
    .filter(([kind]) => !['silence', 'no_speech', 'too_short'].includes(kind))
    .sort(([a], [b]) => place(a) - place(b));
}

function chart(bins, count, name) {
  const hatch = hatching();
  const made = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'chart', role: 'img' }, hatch.definition);
  const width = WIDTH / count;
  const most = Math.max(1, ...bins.map((bin) => spoken(bin.seconds).reduce((sum, [, s]) => sum + s, 0)));
  for (const bin of bins) {
    let bottom = HEIGHT - BOTTOM;
    for (const [kind, seconds] of spoken(bin.seconds)) {
      const height = (HEIGHT - BOTTOM - 8) * seconds / most;
      bottom -= height;
      made.append(svg('rect', {
        x: bin.place * width + 1, y: bottom, width: width - 2, height,
        fill: kind === UNCERTAIN ? hatch.fill : color(kind),
      }, svg('title', {}, `${kind}: ${clock(seconds)}`)));
    }
  }
  for (let place = 0; place < count; place += count > 7 ? 6 : 1) {
    made.append(svg('text', { x: place * width + 2, y: HEIGHT - 5 }, name(place)));
  }
  return made;
}

function shares(bins) {
  const sums = new Map();
  for (const bin of bins) {
    for (const [kind, seconds] of spoken(bin.seconds)) sums.set(kind, (sums.get(kind) || 0) + seconds);
  }
  const total = [...sums.values()].reduce((sum, s) => sum + s, 0);
  if (!total) return { total, words: 'nobody spoke', list: element('p', {}, 'Nobody spoke yet.') };
  const list = element('div', { class: 'bars' });
  const words = [];
  for (const [kind] of spoken(Object.fromEntries(sums))) {
    const share = sums.get(kind) / total;
    const bar = element('div', { class: `bar${kind === UNCERTAIN ? ' uncertain' : ''}` });
    bar.style.width = `${100 * share}%`;
    if (kind !== UNCERTAIN) bar.style.background = color(kind);
    list.append(element('span', {}, kind), element('div', { class: 'track' }, bar), element('span', {}, percent(share)));
    words.push(`${kind} ${percent(share)}`);
  }
  return { total, words: words.join(', '), list };
}

async function show(place, from, width, count, name) {
  const query = new URLSearchParams({ from: from.getTime() / 1000, to: from.getTime() / 1000 + width * count, bin: width });
  const { bins } = await (await ask(`/v1/history?${query}`)).json();
  for (const bin of bins) bin.place = Math.round((Date.parse(bin.time) - from.getTime()) / 1000 / width);
  const { total, words, list } = shares(bins);
  const drawn = chart(bins, count, name);
  drawn.setAttribute('aria-label', `${clock(total)} of speech: ${words}`);
  place.replaceChildren(drawn, element('p', {}, `${clock(total)} of speech`), list);
}

async function load() {
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  const week = new Date(midnight);
  week.setDate(week.getDate() - 6);
  const day = (place) => new Date(week.getTime() + (place + 0.5) * DAY * 1000)
    .toLocaleDateString('en', { weekday: 'short' });
  try {
    await show(byId('today'), midnight, HOUR, 24, (place) => `${place}:00`);
    await show(byId('week'), week, DAY, 7, day);
  } catch (error) {
    trouble(error.message);
  }
}

export function start() {
  byId('reload').addEventListener('click', load);
  load();
}
