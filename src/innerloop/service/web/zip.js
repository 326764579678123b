// A zip, unpacked here: the service sees the directory at its end alone, and says which files of it are read.

const [END, END64, LOCATOR, ENTRY, LOCAL] = [0x06054b50, 0x06064b50, 0x07064b50, 0x02014b50, 0x04034b50];
const COMMENT = 65535;  // bytes of the longest comment behind the directory
const FULL = 0xffffffff;  // stands for a number that is elsewhere, as it has 64 bits
const [STORED, DEFLATED] = [0, 8];

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc(bytes) {
  let value = -1;
  for (let i = 0; i < bytes.length; i += 1) value = CRC[(value ^ bytes[i]) & 255] ^ (value >>> 8);
  return (value ^ -1) >>> 0;
}

const view = async (blob) => new DataView(await blob.arrayBuffer());

export class Zip {
  /** Reads the directory; where there is none, `directory` is what the service will refuse. */
  static async open(file) {
    const zip = new Zip();
    zip.file = file;
    zip.entries = [];
    zip.directory = file.slice(0, 1);
    const before = Math.max(0, file.size - COMMENT - 22);
    const tail = await view(file.slice(before));
    let at = tail.byteLength - 22;
    while (at >= 0 && tail.getUint32(at, true) !== END) at -= 1;
    if (at < 0) return zip;
    let [size, offset, end] = [tail.getUint32(at + 12, true), tail.getUint32(at + 16, true), before + at];
    if (at >= 20 && tail.getUint32(at - 20, true) === LOCATOR) {
      const record = await view(file.slice(before + at - 76, before + at - 20));
      if (record.byteLength < 56 || record.getUint32(0, true) !== END64) return zip;
      [size, offset, end] = [Number(record.getBigUint64(40, true)), Number(record.getBigUint64(48, true)), before + at - 76];
    }
    const start = end - size;
    if (start < 0) return zip;
    zip.before = start - offset;  // what was put before the zip, such as a program that unpacks it
    const directory = file.slice(start, end);
    zip.entries = entries(await view(directory));
    zip.directory = new Blob([directory, ending(size, zip.entries.length)]);
    return zip;
  }

  /** A file of it, by its place in the directory; throws where it is damaged. */
  async unpack(index) {
    const { offset, packed, size, method, sum } = this.entries[index] ?? {};
    const start = this.before + offset;
    const head = await view(this.file.slice(start, start + 30));
    if (head.byteLength < 30 || head.getUint32(0, true) !== LOCAL) throw new Error("damaged");
    if (method !== STORED && method !== DEFLATED) throw new Error("packed in a way that browsers do not know");
    const from = start + 30 + head.getUint16(26, true) + head.getUint16(28, true);
    const content = this.file.slice(from, from + packed).stream();
    const bytes = await collect(method === DEFLATED ? content.pipeThrough(new DecompressionStream("deflate-raw")) : content, size);
    if (crc(bytes) !== sum) throw new Error("damaged: bad CRC-32");
    return new Blob([bytes]);
  }
}

/** All bytes of a stream, which must be as many as were said: no zip unpacks to more than it says. */
async function collect(stream, size) {
  const bytes = new Uint8Array(size);
  let at = 0;
  try {
    for (const reader = stream.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > size) {
        await reader.cancel();
        throw new Error("longer than it says");
      }
      bytes.set(value, at);
      at += value.length;
    }
  } catch {
    throw new Error("damaged");
  }
  if (at !== size) throw new Error("damaged: it ends too early");
  return bytes;
}

function entries(data) {
  const found = [];
  for (let at = 0; at + 46 <= data.byteLength && data.getUint32(at, true) === ENTRY;) {
    const [name, extra, comment] = [28, 30, 32].map((place) => data.getUint16(at + place, true));
    const [sum, packed, size, offset] = [16, 20, 24, 42].map((place) => data.getUint32(at + place, true));
    found.push({ method: data.getUint16(at + 10, true), sum, ...wide(data, at + 46 + name, extra, { size, packed, offset }) });
    at += 46 + name + extra + comment;
  }
  return found;
}

/** Numbers of an entry, those of 64 bits from its extra field. */
function wide(data, start, length, numbers) {
  const end = Math.min(start + length, data.byteLength);
  for (let at = start; at + 4 <= end;) {
    const [id, size] = [data.getUint16(at, true), data.getUint16(at + 2, true)];
    let place = at + 4;
    if (id === 1) {
      for (const name of Object.keys(numbers)) {
        if (numbers[name] !== FULL || place + 8 > end) continue;
        numbers[name] = Number(data.getBigUint64(place, true));
        place += 8;
      }
    }
    at += 4 + size;
  }
  return numbers;
}

/** The end of a zip that is its directory alone. */
function ending(size, count) {
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, END, true);
  for (const place of [8, 10]) end.setUint16(place, Math.min(count, 0xffff), true);
  end.setUint32(12, size, true);
  return end.buffer;
}
