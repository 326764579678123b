// Runs beside the page, where sound arrives: hands over the samples of the first channel as they come.

registerProcessor("samples", class extends AudioWorkletProcessor {
  process([input]) {
    if (input[0]) this.port.postMessage(input[0].slice());
    return true;
  }
});
