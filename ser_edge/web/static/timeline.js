// Probabilities over time, as `ser-edge classify --plot` draws them.

import { clock, color, element, labels, unsure, verdict } from '/page.js';

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 220, LEFT = 50, BOTTOM = 24, TOP = 10, RIGHT = 10;
const NARROWEST = 260, WIDEST = 900;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
const MOST_ROWS = 200;
let patterns = 0;

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function hatching() {
  const id = `hatch-${patterns += 1}`;
  const pattern = svg('pattern', {
    id, width: 7, height: 7, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)',
  }, svg('rect', { width: 7, height: 7, class: 'hatched' }),
  svg('line', { x1: 0, y1: 0, x2: 0, y2: 7, class: 'hatch', 'stroke-width': 3 }));
  return { fill: `url(#${id})`, definition: svg('defs', {}, pattern) };
}

function chart(results, width) {
  const from = results[0].start;
  const to = Math.max(results[results.length - 1].end, from + 1);
  const x = (seconds) => LEFT + (width - LEFT - RIGHT) * (seconds - from) / (to - from);
  const y = (share) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);
  const middles = results.map((r) => (r.start + r.end) / 2);
  const edges = [from, ...middles.slice(1).map((m, i) => (m + middles[i]) / 2), to];
  const hatch = hatching();
  const made = svg('svg', {
    viewBox: `0 0 ${width} ${HEIGHT}`, class: 'chart', role: 'img', 'aria-label': summary(results),
  }, hatch.definition);
  results.forEach((result, i) => {
    if (result.label !== null) return;
    const area = {
      x: x(edges[i]), y: y(1), width: Math.max(0, x(edges[i + 1]) - x(edges[i])), height: y(0) - y(1),
    };
    made.append(unsure(result)
      ? svg('rect', { ...area, fill: hatch.fill }) : svg('rect', { ...area, class: 'none', 'shape-rendering': 'crispEdges' }));
  });
  for (const share of [0, 0.5, 1]) {
    made.append(svg('line', { x1: LEFT, x2: width - RIGHT, y1: y(share), y2: y(share), class: 'grid' }),
      svg('text', { x: LEFT - 6, y: y(share) + 4, 'text-anchor': 'end' }, `${100 * share} %`));
  }
  const step = STEPS.find((s) => s >= (to - from) / (width / 90)) || STEPS[STEPS.length - 1];
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) {
    made.append(svg('text', { x: x(tick), y: HEIGHT - 7, 'text-anchor': 'middle' }, clock(tick)));
  }
  for (const label of labels()) {
    const points = results.map((r, i) => r.scores && label in r.scores
      ? [x(middles[i]), y(r.scores[label])] : null);
    let path = '';
    points.forEach((point, i) => {
      if (point) path += `${i && points[i - 1] ? 'L' : 'M'}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    });
    if (!path) continue;
    const paint = color(label);
    const group = svg('g', { stroke: paint, fill: paint }, svg('title', {}, label),
      svg('path', { d: path, fill: 'none', 'stroke-width': 2 }));
    if (results.length <= 60) {
      for (const point of points) {
        if (point) group.append(svg('circle', { cx: point[0], cy: point[1], r: 2.6 }));
      }
    }
    made.append(group);
  }
  return made;
}

// How often each kind was told, in words.
function summary(results) {
  const counts = new Map();
  for (const r of results) {
    const kind = r.label || (unsure(r) ? 'uncertain' : 'no emotion');
    counts.set(kind, (counts.get(kind) || 0) + 1);
  }
  const parts = [...counts].sort((a, b) => b[1] - a[1]).map(([kind, n]) => `${kind} ${n} times`);
  return `Timeline of ${clock(results[results.length - 1].end - results[0].start)}: ${parts.join(', ')}`;
}

function table(results) {
  const rows = results.slice(-MOST_ROWS).map((r) => element('tr', {},
    element('td', {}, `${clock(r.start)} to ${clock(r.end)}`), element('td', {}, verdict(r))));
  return element('table', {}, element('thead', {}, element('tr', {},
    element('th', { scope: 'col' }, 'time'), element('th', { scope: 'col' }, 'emotion'))),
  element('tbody', {}, ...rows));
}

export function legend() {
  const items = labels().map((label) => {
    const box = element('span', { class: 'swatch' });
    box.style.background = color(label);
    return element('li', {}, box, ` ${label}`);
  });
  items.push(element('li', {}, element('span', { class: 'swatch uncertain' }), ' uncertain'),
    element('li', {}, element('span', { class: 'swatch none' }), ' no emotion'));
  return items;
}

// Draw results into a place, anew each time.
export function draw(place, results) {
  if (!results.length) {
    place.replaceChildren();
    return;
  }
  const open = place.querySelector('details')?.open || false;
  const details = element('details', {}, element('summary', {}, 'The same as a table'), table(results));
  details.open = open;
  // As many units as pixels, so that its text is as large as any other.
  const width = Math.max(NARROWEST, Math.min(WIDEST, place.clientWidth));
  place.replaceChildren(chart(results, width), element('ul', { class: 'legend' }, ...legend()),
    element('p', {}, element('a', { href: '#meaning' }, 'What does this mean?')), details);
}
