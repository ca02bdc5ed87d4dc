// Live audio: of the browser's microphone, over a WebSocket, and of the device's, which tells events.

import { byId, element, state, swatch, trouble, unsure, verdict } from '/page.js';
import { Microphone, level } from '/microphone.js';
import { draw } from '/timeline.js';

const SHOWN_SECONDS = 300;
const HOP_SECONDS = 1;
let listening = null;

// Shows results as they come.
class View {
  constructor(name) {
    this.now = byId(`${name}-now`);
    this.place = byId(`${name}-timeline`);
    this.results = [];
  }

  add(result) {
    const last = this.results[this.results.length - 1];
    if (last && result.start < last.start) this.results = []; // it began anew
    this.results.push(result);
    while (result.end - this.results[0].start > SHOWN_SECONDS) this.results.shift();
    const kind = result.label || result.reason;
    if (this.kind === kind && result.label) {
      this.text.textContent = ` ${verdict(result)}`;
    } else {
      this.kind = kind;
      this.text = document.createTextNode(` ${verdict(result)}`);
      const mark = result.label ? swatch(result.label) : element('span', {
        class: `swatch ${unsure(result) ? 'uncertain' : 'none'}`,
      });
      this.now.replaceChildren(mark, this.text);
    }
    draw(this.place, this.results);
  }
}

class Session {
  constructor() {
    this.view = new View('microphone');
    this.waiting = [];
  }

  async start() {
    this.microphone = new Microphone();
    await this.microphone.open((samples) => this.take(samples));
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    this.socket = new WebSocket(`${scheme}//${location.host}/v1/stream`);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onopen = () => {
      const first = { sample_rate: this.microphone.rate, format: 'int16', channels: 1, hop: HOP_SECONDS };
      if (state.profile) first.profile = state.profile;
      this.socket.send(JSON.stringify(first));
      this.waiting.forEach((samples) => this.socket.send(samples));
      this.waiting = [];
    };
    this.socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.error) trouble(message.error);
      else this.view.add(message);
    };
    this.socket.onclose = (event) => {
      if (event.code === 1013) trouble('too many listen already: try again later');
      else if (listening === this) trouble('the service ended the connection');
      stop();
    };
  }

  take(samples) {
    byId('level').value = level(samples);
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(samples);
    else if (this.waiting.length < 50) this.waiting.push(samples);
  }

  end() {
    this.microphone.close();
    byId('level').value = 0;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send('{"end": true}');
  }
}

function stop() {
  const session = listening;
  listening = null;
  session?.end();
  byId('listen').textContent = 'Start listening';
}

export function start() {
  byId('listen').addEventListener('click', async () => {
    if (listening) {
      stop();
      return;
    }
    trouble('');
    const session = listening = new Session();
    byId('listen').textContent = 'Stop listening';
    try {
      await session.start();
    } catch (error) {
      trouble(error.message);
      stop();
    }
  });
}

export function follow() {
  const view = new View('device');
  view.now.textContent = 'waiting for the first result …';
  const events = new EventSource('/v1/results');
  events.onmessage = (event) => view.add(JSON.parse(event.data));
}
