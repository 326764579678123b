// Where examples come in: dropped or chosen pictures and sounds, recordings, typed lines, files of lines. Each is {file | text | features, label, name}.

import * as api from "./api.js";
import { areFiles, button, h, unique } from "./dom.js";
import { chosen, dropping, gather } from "./folders.js";
import { recorder } from "./microphone.js";

const HINT = {
  texts: "One sentence a line",
  features: "One example a line, numbers with commas between them",
};
const HOW = {
  text_column: "Column with the sentences",
  label_column: "Column with the classes",
  encoding: "Encoding, such as shift_jis",
};
const ACCEPTED = { pictures: "image/*,.heic,.heif,.zip", sounds: ".wav,.wave,.flac,.zip" };
const SAID = 100;  // characters of a name, at its end, that the service says
const LINES = ".txt,.csv,.tsv,.json,.jsonl,.ndjson,.xlsx,.parquet,text/plain,text/csv";

// Browsers open the chooser with the space bar only, and take Enter as sending the form.
function enter(event) {
  if (event.key !== "Enter") return;
  event.preventDefault();
  event.target.click();
}

/** What a person has given and nobody has sent yet. `changed` is called whenever there is more or less of it. */
export class Intake {
  constructor({ name, kind }, label, changed, { folders = false, rows = 3 } = {}) {
    this.task = name;
    this.kind = kind;
    this.folders = folders;  // whether they are classes
    this.changed = changed;
    this.pending = [];
    this.note = h("p", { class: "help", role: "status" });
    this.reading = h("div", { class: "reading", hidden: true });
    this.list = h("ul", { class: "pending", "aria-label": "Chosen, not sent yet" });
    this.element = areFiles(kind) ? this.files(label) : this.lines(label, rows);
    dropping(this.element, (found) => this.take(found));
  }

  /** What is there, as the routes take it; throws where a line is not numbers. */
  things() {
    if (areFiles(this.kind)) return this.pending;
    const typed = this.area.value.split("\n").map((line) => line.trim()).filter(Boolean);
    return [...this.pending, ...typed.map((line) => ({ ...row(this.kind, line), label: null, name: line, typed: true }))];
  }

  get empty() {
    return !this.pending.length && !this.area?.value.trim();
  }

  /** Forgets those that were sent, and keeps what has been added or typed since. */
  sent(things) {
    this.reading.hidden = true;
    this.pending = this.pending.filter((thing) => !things.includes(thing));
    const typed = things.filter((thing) => thing.typed).map((thing) => thing.name);
    if (typed.length) {
      const left = this.area.value.split("\n").filter((line) => {
        const at = typed.indexOf(line.trim());
        if (at >= 0) typed.splice(at, 1);
        return at < 0 && line.trim();
      });
      this.area.value = left.join("\n");
    }
    this.note.textContent = "";
    this.show();
  }

  /** Marks the ones that a message names, and returns them. */
  blame(message) {
    const named = this.pending.filter((thing) => thing.name && message.includes(thing.name.slice(-SAID)));
    this.show(named);
    return named;
  }

  files(label) {
    const files = (attributes) => {
      const input = h("input", { type: "file", multiple: true, class: "unseen", onkeydown: enter, ...attributes, onchange: () => {
        this.take(chosen(input.files));
        input.value = "";
      } });
      return input;
    };
    return h("div", { class: "intake" },
      h("label", { class: "drop" }, files({ accept: ACCEPTED[this.kind] }), h("span", {}, h("strong", {}, label), " or drop them here, also as a folder or zip")),
      this.folders ? h("label", { class: "link" }, files({ webkitdirectory: true }), h("span", {}, "Choose a folder: its sub-folders are the classes")) : null,
      this.kind === "sounds" ? recorder((file) => this.take([{ file, path: null }]), (error) => { this.note.textContent = error.message; }) : null,
      this.note, this.list);
  }

  lines(label, rows) {
    const id = unique("lines");
    this.area = h("textarea", { id, rows, placeholder: HINT[this.kind], oninput: () => this.changed() });
    const input = h("input", { type: "file", accept: LINES, multiple: true, class: "unseen", onkeydown: enter, onchange: async () => {
      await this.take(chosen(input.files));
      input.value = "";
    } });
    return h("div", { class: "intake" },
      h("label", { for: id, class: "label" }, label), this.area,
      h("label", { class: "link" }, input, h("span", {}, "Take them from a file (lines, CSV, Excel, JSON, Parquet)")),
      this.note, this.reading, this.list);
  }

  /** Takes what was chosen or dropped, as {file, path}. */
  async take(found) {
    this.reading.hidden = true;
    if (!areFiles(this.kind)) {
      await this.tables(found.map(({ file }) => ({ file, name: file.name })));
      return;
    }
    this.note.textContent = "";
    try {
      const { things, notices } = await gather(this.task, found, this.folders, (text) => { this.note.textContent = text; });
      this.pending.push(...things);
      this.note.textContent = notices.join(". ");
    } catch (error) {
      this.note.textContent = error.message;
      return;
    }
    this.show();
    this.changed();
  }

  async tables(files) {
    const notices = [];
    this.reading.hidden = true;
    for (const one of files) {
      try {
        this.pending.push(...await fromNumbers(this.kind, one.file) ?? await this.fromTable(one, notices));
      } catch (error) {
        this.note.textContent = error.message.includes(one.name) ? error.message : `${one.name}: ${error.message}`;
        if (error.status === 422) this.askHow(one, true);
        return;
      }
    }
    this.note.textContent = notices.join(". ");
    this.show();
    this.changed();
  }

  /** Lets a person say how a file is read: what it holds can't always be told from its columns. */
  askHow(thing, open) {
    const fields = Object.entries(HOW).map(([option, label]) => [option, h("input", { id: unique(option), autocomplete: "off", spellcheck: "false", value: thing.how?.[option] ?? "" }), label]);
    const again = () => {
      this.pending = this.pending.filter((other) => other.from !== thing.file);
      return this.tables([{ ...thing, how: Object.fromEntries(fields.map(([option, input]) => [option, input.value.trim()])) }]);
    };
    this.reading.replaceChildren(h("details", { open },
      h("summary", { class: "small" }, `Read ${thing.name} otherwise`),
      ...fields.map(([, input, label]) => h("div", { class: "field" }, h("label", { for: input.id }, label), input)),
      button("Read it so", again)));
    this.reading.hidden = false;
  }

  async fromTable({ file, how }, notices) {
    const table = await api.table(this.task, file, how);
    notices.push(...table.notices);
    this.askHow({ file, how, name: file.name }, table.notices.length > 0);
    return table.examples.map(({ text, features, label }) => ({
      ...(features ? { features } : { text }), label, from: file, name: text ?? features.join(", "),
    }));
  }

  show(blamed = []) {
    for (const image of this.list.querySelectorAll("img, audio")) URL.revokeObjectURL(image.src);
    const shown = this.pending.slice(0, 60);
    this.list.replaceChildren(...shown.map((thing) => h("li", { class: blamed.includes(thing) ? "blamed" : null },
      thing.file ? picture(thing) : h("span", { class: "clip" }, thing.name),
      h("span", { class: "small clip" }, thing.label ?? (thing.file ? thing.name : "")),
      button("×", () => {
        this.pending = this.pending.filter((other) => other !== thing);
        this.show(blamed);
        this.changed();
      }, { class: "tiny", "aria-label": `Leave out ${thing.name}` }))));
    if (this.pending.length > shown.length) this.list.append(h("li", { class: "soft" }, `and ${this.pending.length - shown.length} more`));
  }
}

/** What the service is sent of a thing. */
export const sent = ({ file, name, features, text }) => (file ? { file, name } : features ? { features } : { text });

const AT_ONCE = 50;
const BYTES = 16e6;
const NUMBER = 25;  // bytes of the longest number in JSON, with its comma

/** Splits things into what goes into one request each: not too many, and not too large together. */
export function* requests(things) {
  let some = [];
  let bytes = 0;
  for (const thing of things) {
    const size = thing.file?.size ?? NUMBER * (thing.features?.length ?? 0);
    if (some.length && (some.length === AT_ONCE || bytes + size > BYTES)) {
      yield some;
      [some, bytes] = [[], 0];
    }
    some.push(thing);
    bytes += size;
  }
  if (some.length) yield some;
}

/** A preview of a file that is still on this machine: seen, or of a sound heard. */
export function picture({ file, name }) {
  if (/\.(wav|wave|flac)$/i.test(file.name)) return h("audio", { controls: true, "aria-label": name, src: URL.createObjectURL(file) });
  const image = h("img", { alt: name, src: URL.createObjectURL(file), onerror: () => {
    image.replaceWith(h("span", { class: "nopicture", role: "img", "aria-label": `${name} can't be shown` }, "?"));
  } });
  return image;
}

function row(kind, line) {
  if (kind === "texts") return { text: line };
  const features = line.split(/[,;\s]+/).filter(Boolean).map(Number);
  if (features.some((value) => !Number.isFinite(value))) throw new Error(`"${line.slice(0, 40)}" is not a line of numbers`);
  return { features };
}

/** Examples of a file of numbers, a line each; null where the file is of another kind, which the service reads. */
async function fromNumbers(kind, file) {
  if (kind !== "features" || /\.(jsonl?|ndjson|xlsx|parquet)$/i.test(file.name)) return null;
  const lines = (await file.text()).replace(/^\ufeff/, "").split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.map((line) => ({ ...row(kind, line), label: null, name: line }));
}
