// A recording as the content of a WAV file: browsers' own recorders give compressed formats, which are not read.

import { button } from "./dom.js";

const LONGEST = 59;  // seconds of one recording: the service takes 60, and a timer is late
const OFF = "Record";

/** A button that records while it is pressed once and until it is pressed again; `take` is given a file. */
export function recorder(take, complain) {
  let recording = null;
  let taken = 0;
  const element = button(OFF, async () => {
    if (recording) return stop();
    if (!navigator.mediaDevices?.getUserMedia) {
      complain(new Error("this browser gives no microphone: open the page over https or on this machine"));
      return undefined;
    }
    try {
      recording = await begin();
    } catch (error) {
      complain(new Error(error.name === "NotAllowedError" ? "the microphone was not allowed: allow it for this page" : `there is no microphone to record from (${error.message})`));
      return undefined;
    }
    recording.timer = setTimeout(stop, 1000 * LONGEST);
    addEventListener("hashchange", stop, { once: true });  // nothing listens on a page that was left
    element.textContent = "Stop";
    element.setAttribute("aria-pressed", "true");
    return undefined;
  }, { "aria-pressed": "false", class: "record" });

  async function stop() {
    const done = recording;
    if (!done) return;
    recording = null;
    element.textContent = OFF;
    element.setAttribute("aria-pressed", "false");
    taken += 1;
    take(new File([await done.end()], `recording ${taken}.wav`, { type: "audio/wav" }));
  }
  return element;
}

/** Begins to record; `end` returns the content of a WAV file. */
async function begin() {
  // As it is heard: what browsers do for calls changes sounds.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  const context = new AudioContext();
  const pieces = [];
  const release = () => {
    for (const track of stream.getTracks()) track.stop();
    return context.close();
  };
  try {
    await context.audioWorklet.addModule("static/samples.js");
  } catch (error) {
    await release();
    throw error;
  }
  const node = new AudioWorkletNode(context, "samples", { numberOfOutputs: 0 });
  node.port.onmessage = ({ data }) => pieces.push(data);
  context.createMediaStreamSource(stream).connect(node);
  return {
    timer: null,
    async end() {
      clearTimeout(this.timer);
      await release();
      return wav(pieces, context.sampleRate);
    },
  };
}

/** Samples from -1 to 1 as a WAV file of 16 bits. */
export function wav(pieces, rate) {
  const count = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const text = (place, letters) => [...letters].forEach((letter, i) => view.setUint8(place + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);  // whole numbers
  view.setUint16(22, 1, true);  // one channel
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * count, true);
  let place = 44;
  for (const piece of pieces) {
    for (const value of piece) {
      view.setInt16(place, Math.round(32767 * Math.max(-1, Math.min(1, value))), true);
      place += 2;
    }
  }
  return view.buffer;
}
