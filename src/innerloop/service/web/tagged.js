// A text with its entities in colour, in which words are chosen by mouse, touch or keyboard, and given a type.

import { Message, button, h, percent, unique } from "./dom.js";

const HUES = 8;

/** The class of a type's colour: the same wherever it is shown, by its place among all types. */
export const hue = (types, type) => `hue-${Math.max(0, types.indexOf(type)) % HUES}`;

/** A text that can be corrected. `types`: all that are known; `learn`: teaches it, if it may be alone; `marked`: after each mark. */
export class Tagged {
  constructor({ text, words, entities }, types, learn, marked = () => {}) {
    this.text = text;
    this.characters = [...text];  // places count these, and strings of the browser count halves of some
    this.words = words;  // [start, end] of each
    this.entities = entities.map(({ start, end, type, confidence }) => ({ ...this.inside(start, end), type, confidence }));
    this.types = types;
    this.learn = learn;
    this.marked = marked;
    this.anchor = this.at = null;  // the first and the last word that are chosen
    this.error = new Message();
    this.name = unique("word");
    this.line = h("p", { class: "tagged", role: "listbox", "aria-multiselectable": "true", "aria-label": "Words; choose some to give them a type", tabindex: "0", dir: "auto",
      onkeydown: (event) => this.key(event), onpointerdown: (event) => this.press(event), onpointermove: (event) => this.drag(event) });
    this.type = h("input", { "aria-label": "Type of the chosen words", list: `${this.name}-types`, placeholder: "type", autocomplete: "off", spellcheck: "false", maxlength: 100 });
    this.chosen = h("span", { class: "clip" });
    this.known = h("span", { class: "picks" });
    this.names = h("datalist", { id: `${this.name}-types` });
    this.bar = h("form", { class: "inline mark-as", hidden: true, onsubmit: (event) => {
      event.preventDefault();
      this.mark(this.type.value.trim());
    } }, this.chosen, this.known, this.type, this.names, h("button", {}, "Mark"), button("No entity", () => this.mark("")));
    this.teach = button("Learn from this text", () => this.send(), { class: "link" });
    this.state = h("span", { class: "soft small", role: "status" });
    this.element = h("li", { class: "answer-text" }, this.line, this.bar, this.error.element, learn ? h("div", { class: "inline" }, this.teach, this.state) : null);
    this.draw();
  }

  slice(start, end) {
    return this.characters.slice(start, end).join("");
  }

  /** The words of a span of characters. */
  inside(start, end) {
    return { from: this.words.findIndex(([, last]) => last > start), to: this.words.findLastIndex(([first]) => first < end) };
  }

  draw() {
    const [low, high] = this.range();
    const parts = [];
    let done = 0;  // characters that are drawn
    for (let i = 0; i < this.words.length; i += 1) {
      const entity = this.entities.find(({ from }) => from === i);
      const last = entity ? entity.to : i;
      const group = [];
      for (let k = i; k <= last; k += 1) {
        const [start, end] = this.words[k];
        (k === i ? parts : group).push(this.slice(done, start));
        group.push(h("span", { id: `${this.name}-${k}`, role: "option", "data-word": k, "aria-selected": String(low !== null && low <= k && k <= high), class: k === this.at ? "at" : null }, this.slice(start, end)));
        done = end;
      }
      parts.push(entity ? h("mark", { class: hue(this.types, entity.type), role: "presentation" }, group, h("b", {}, entity.confidence === undefined ? entity.type : `${entity.type} ${percent(entity.confidence)}`)) : group);
      i = last;
    }
    this.line.replaceChildren(...parts.flat(), this.slice(done));
    if (this.at === null) this.line.removeAttribute("aria-activedescendant");
    else this.line.setAttribute("aria-activedescendant", `${this.name}-${this.at}`);
    this.bar.hidden = low === null;
    if (low !== null) this.chosen.textContent = `“${this.slice(this.words[low][0], this.words[high][1])}” is`;
  }

  range() {
    return this.at === null ? [null, null] : [Math.min(this.anchor, this.at), Math.max(this.anchor, this.at)];
  }

  choose(word, more) {
    this.at = word;
    if (!more) this.anchor = word;
    const known = this.entities.find(({ from, to }) => from <= word && word <= to);
    if (!more && known) [this.anchor, this.at] = [known.from, known.to];  // an entity is chosen as a whole
    this.type.value = known?.type ?? "";
    this.names.replaceChildren(...this.types.map((type) => h("option", { value: type })));
    this.known.replaceChildren(...this.types.slice(0, HUES).map((type) => button(type, () => this.mark(type), { class: `swatch ${hue(this.types, type)}` })));
    this.draw();
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      const word = this.at === null ? 0 : Math.min(this.words.length - 1, Math.max(0, this.at + step));
      this.choose(word, event.shiftKey && this.at !== null);
    } else if (event.key === "Enter" && this.at !== null) {
      event.preventDefault();
      this.type.focus();
    } else if (event.key === "Escape") {
      this.anchor = this.at = null;
      this.draw();
    }
  }

  press(event) {
    const word = event.target.closest("[data-word]")?.dataset.word;
    if (word === undefined) return;
    this.choose(Number(word), event.shiftKey);
    event.target.releasePointerCapture?.(event.pointerId);  // so that a finger that moves on is over the next word
  }

  drag(event) {
    if (!event.buttons) return;
    const word = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-word]");
    if (!word || !this.line.contains(word) || Number(word.dataset.word) === this.at) return;
    this.choose(Number(word.dataset.word), true);
  }

  /** Gives the chosen words a type, in place of entities that they are part of; an empty one: they are none. */
  mark(type) {
    const [low, high] = this.range();
    if (low === null) return;
    this.entities = this.entities.filter(({ from, to }) => to < low || from > high);
    if (type) {
      if (!this.types.includes(type)) this.types.push(type);
      this.entities.push({ from: low, to: high, type });
      this.entities.sort((a, b) => a.from - b.from);
    }
    this.anchor = this.at = null;
    this.changed = true;
    this.teach.textContent = "Learn the corrected text";
    this.teach.className = "primary";
    this.draw();
    this.line.focus();
    this.marked();
  }

  /** What is taught. */
  get sentence() {
    return { text: this.text, entities: this.entities.map(({ from, to, type }) => ({ start: this.words[from][0], end: this.words[to][1], type })) };
  }

  async send() {
    this.error.clear();
    try {
      await this.learn(this.sentence);
      this.teach.replaceWith(h("span", { class: "done small" }, "✓ Learned; going back to an earlier version takes it back"));
    } catch (problem) {
      this.error.show(problem);
    }
  }
}
