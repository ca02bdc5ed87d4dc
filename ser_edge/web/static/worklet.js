// In the browser's audio thread: samples become 16-bit PCM, a tenth of a second at a time.

class Pcm extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Int16Array(Math.round(sampleRate / 10));
    this.filled = 0;
  }

  process(inputs) {
    const channels = inputs[0];
    if (!channels.length) return true;
    for (let i = 0; i < channels[0].length; i += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      const value = Math.max(-1, Math.min(1, sum / channels.length));
      this.samples[this.filled] = Math.round(32767 * value);
      this.filled += 1;
      if (this.filled === this.samples.length) {
        const { buffer } = this.samples;
        this.samples = new Int16Array(this.filled);
        this.filled = 0;
        this.port.postMessage(buffer, [buffer]);
      }
    }
    return true;
  }
}

registerProcessor('pcm', Pcm);
