// The browser's microphone, as 16-bit PCM.

const NEEDS = 'a browser gives its microphone only to https or localhost: open this page so';

export class Microphone {
  // `onSamples` gets an Int16Array about ten times a second.
  async open(onSamples) {
    if (!navigator.mediaDevices) throw new Error(NEEDS);
    try {
      this.source = await navigator.mediaDevices.getUserMedia({
        audio: {
          channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false,
        },
      });
    } catch (error) {
      throw new Error(error.name === 'NotAllowedError'
        ? 'the browser does not allow the microphone' : 'there is no microphone');
    }
    this.context = new AudioContext();
    this.rate = this.context.sampleRate;
    await this.context.audioWorklet.addModule('/worklet.js');
    this.node = new AudioWorkletNode(this.context, 'pcm');
    this.node.port.onmessage = (event) => onSamples(new Int16Array(event.data));
    this.context.createMediaStreamSource(this.source).connect(this.node);
    await this.context.resume();
    return this;
  }

  close() {
    this.source?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.source = this.context = null;
  }
}

// From 0 (-60 dB and below) to 1 (full scale).
export function level(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const decibels = 10 * Math.log10(Math.max(1e-9, sum / samples.length / 32768 ** 2));
  return Math.max(0, 1 + decibels / 60);
}

// A WAV file of the chunks.
export function wav(chunks, rate) {
  const size = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((c, i) => head.setUint8(at + i, c.charCodeAt(0)));
  text(0, 'RIFF');
  head.setUint32(4, 36 + size, true);
  text(8, 'WAVEfmt ');
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  text(36, 'data');
  head.setUint32(40, size, true);
  return new Blob([head, ...chunks], { type: 'audio/wav' });
}
