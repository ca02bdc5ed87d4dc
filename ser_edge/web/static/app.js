// The page: asks the service what it can do, and starts the parts for it.

import { ask, byId, element, percent, state, trouble } from '/page.js';
import { legend } from '/timeline.js';
import * as recordings from '/recordings.js';
import * as live from '/live.js';
import * as history from '/history.js';
import * as yours from '/yours.js';

function table(caption, head, rows) {
  const cells = (row, name, attributes) => element('tr', {}, ...row.map((text) => element(name, attributes, text)));
  return element('div', { class: 'wide', tabindex: 0, role: 'region', 'aria-label': caption },
    element('table', {}, element('caption', {}, caption),
      element('thead', {}, cells(head, 'th', { scope: 'col' })),
      element('tbody', {}, ...rows.map((row) => cells(row, 'td', {})))));
}

function about(model) {
  const known = model.accuracy.filter((entry) => entry.trained_on);
  const unknown = model.accuracy.filter((entry) => !entry.trained_on);
  const rows = (entries) => entries.map((entry) => [entry.corpus, percent(entry.uar)]);
  const parts = [
    element('p', {}, `Model: ${model.name}. ${model.description || ''}. ser-edge ${model.version}, ${model.runtime}.`),
    element('p', {}, `Guessing is right in ${percent(1 / model.model_labels.length)}. The figures are for people who are not in the training data.`),
  ];
  const columns = element('div', { class: 'columns' });
  if (known.length) columns.append(table('Right answers on recordings like those it learned from', ['recordings', 'right'], rows(known)));
  if (unknown.length) columns.append(table('Right answers on recordings unlike those: expect these', ['recordings', 'right'], rows(unknown)));
  if (model.trained_on.length) {
    columns.append(table('Training data and its licences', ['corpus', 'licence', 'people'],
      model.trained_on.map((entry) => [entry.name, entry.licence || '-', String(entry.speakers)])));
  }
  parts.push(columns, element('p', {}, 'The code is MIT licensed; a model that learned from non-commercial data (CC BY-NC) is for non-commercial use.'));
  byId('model').replaceChildren(...parts);
}

function use(profile) {
  state.profile = profile;
  const place = byId('profile-in-use');
  place.hidden = !profile;
  if (profile) {
    place.replaceChildren(`A profile is in use on this page: ${profile.labels.join(', ')}. `,
      element('button', { type: 'button', class: 'plain', onclick: () => use(null) }, 'Without it'));
  }
  byId('legend').replaceChildren(...legend());
}

async function start() {
  try {
    state.model = await (await ask('/v1/model')).json();
  } catch (error) {
    trouble(error.message);
    return;
  }
  for (const part of document.querySelectorAll('[data-needs]')) {
    part.hidden = !state.model[part.dataset.needs];
  }
  about(state.model);
  use(null);
  recordings.start();
  live.start();
  if (state.model.listens) live.follow();
  if (state.model.history) history.start();
  if (state.model.adaptable) yours.start(use);
  document.body.dataset.ready = 'yes';
}

start();
