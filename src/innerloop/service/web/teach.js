// The classes of a task: what each was taught, more of it, and putting right what was taught wrong.

import * as api from "./api.js";
import { Message, announce, areFiles, busy, button, confirm, count, h, unique } from "./dom.js";
import { dropping } from "./folders.js";
import { Intake, requests, sent } from "./intake.js";

const PAGE = 24;  // examples shown of a class before "Show more"

/** Teaches what an intake holds as one change, at most so many in a request. What was sent before a failure isn't sent again. */
class Sending {
  constructor(view, intake) {
    Object.assign(this, { view, intake, change: null, held: new Map() });
  }

  /** Returns the version that knows all of them. */
  async send(things, label) {
    const labels = new Map(things.map((thing) => [thing, thing.label ?? label]));
    const kept = this.held.size < things.length && [...this.held].every(([thing, name]) => labels.get(thing) === name);
    if (!kept) this.held.clear();
    if (!this.held.size) this.change = api.newName();
    const asked = [...requests(things.filter((thing) => !this.held.has(thing)))];
    let version;
    for (const [i, some] of asked.entries()) {
      const more = i < asked.length - 1;
      const part = more || this.held.size ? { change: this.change, ...(more ? { more } : {}) } : {};
      ({ version } = await api.teach(this.view.name, some.map(sent), some.map((thing) => labels.get(thing)), part));
      for (const thing of some) this.held.set(thing, labels.get(thing));
      if (more) this.intake.note.textContent = `Sent ${this.held.size} of ${things.length}…`;
    }
    this.held.clear();
    this.intake.sent(things);
    return version;
  }
}

/** A way to give examples of one class; without `fixed` the person names the class. */
function composer(view, fixed) {
  const error = new Message();
  const naming = fixed === null;
  const id = unique("label");
  const label = naming ? h("input", { id, required: true, maxlength: 100, autocomplete: "off", list: "known-classes" }) : null;
  const words = { pictures: "Choose pictures", sounds: "Choose sounds", texts: naming ? "Sentences of this class" : `More of ${fixed}`, features: naming ? "Examples of this class" : `More of ${fixed}` };
  const teach = h("button", { class: naming ? "primary" : null }, "Teach");
  const atOnce = !naming && areFiles(view.kind);  // with the class known, choosing pictures is all that there is to say
  let underWay = false;
  const announceCount = () => {
    folders.textContent = summary(intake.pending);
    if (label) label.required = intake.empty || intake.pending.some((thing) => thing.label === null) || Boolean(intake.area?.value.trim());
  };
  const intake = new Intake(view, words[view.kind], () => {
    error.clear();
    announceCount();
    if (atOnce && !intake.empty) form.requestSubmit();
  }, { folders: naming });
  const sending = new Sending(view, intake);
  const folders = h("p", { class: "help" });
  const form = h("form", { class: "composer", onsubmit: async (event) => {
    event.preventDefault();
    await busy(teach, submit);
  } },
    naming ? h("div", { class: "field" }, h("label", { for: id }, "Class"), label) : null,
    intake.element, folders, error.element,
    atOnce ? null : h("div", { class: "buttons" }, teach));

  async function submit() {
    if (underWay) return;
    underWay = true;
    error.clear();
    let version;
    try {
      const things = intake.things();
      if (!things.length) throw new Error(areFiles(view.kind) ? `choose some ${view.kind} first` : "type an example first");
      const name = fixed ?? label.value.trim();
      const message = `Learned ${count(things.length, "example")}${name ? ` of ${name}` : ""}`;
      version = await sending.send(things, name);
      announce(message);
      // The person may be typing the next class already: only what was sent is taken away.
      if (label?.value.trim() === name) label.value = "";
      if (teach.contains(document.activeElement)) label?.focus();
    } catch (problem) {
      complain(problem);
      return;
    } finally {
      underWay = false;
      announceCount();
    }
    await view.error.attempt(() => view.refresh(version));
    if (atOnce && !intake.empty) await submit();  // chosen in the meantime
  }

  function complain(problem) {
    const wrong = intake.blame(problem.message);
    const others = intake.pending.length - wrong.length;
    error.show(problem, wrong.length && others ? button(`Leave ${wrong.length === 1 ? "it" : "them"} out and teach ${others === 1 ? "the other one" : `the other ${others}`}`, async () => {
      intake.sent(wrong);
      await submit();
    }) : null);
  }
  return { element: form, intake, focus: () => (label ?? intake.area ?? form.querySelector("input")).focus() };
}

function summary(things) {
  const counts = new Map();
  for (const { label } of things) if (label !== null) counts.set(label, (counts.get(label) ?? 0) + 1);
  if (!counts.size) return "";
  return `${count(counts.size, "class", "classes")} from folders or labels: ${[...counts].map(([name, n]) => `${name} (${n})`).join(", ")}`;
}

/** The teaching half of a task's page. */
export class Teach {
  constructor(view) {
    this.view = view;
    this.cards = new Map();
    this.known = h("datalist", { id: "known-classes" });
    this.fresh = composer(view, null);
    this.list = h("div", { class: "classes" });
    this.title = h("h2", { id: "new-class" }, "Add a class");
    this.element = h("section", { "aria-label": "Teach" },
      h("div", { class: "panel" }, this.title, this.fresh.element), this.known, this.list);
  }

  /** The examples of every class, as many as its card shows, or what went wrong. */
  fetch(task) {
    return Promise.all(task.classes.map(({ label }) => api.examples(this.view.name, label, this.cards.get(label)?.limit ?? PAGE).catch((problem) => problem)));
  }

  /** Brings the cards to what the task is now; `examples` is what `fetch` brought. */
  update(task, examples) {
    const labels = task.classes.map((c) => c.label);
    this.title.textContent = labels.length ? "Add a class" : "Teach the first class";
    this.known.replaceChildren(...labels.map((value) => h("option", { value })));
    for (const [label, card] of this.cards) {
      if (labels.includes(label)) continue;
      card.element.remove();
      this.cards.delete(label);
    }
    task.classes.forEach(({ label, examples: size }, i) => {
      if (!this.cards.has(label)) this.cards.set(label, new Card(this.view, label));
      const card = this.cards.get(label);
      this.list.append(card.element);
      card.update(size, examples[i]);
    });
  }
}

class Card {
  constructor(view, label) {
    this.view = view;
    this.label = label;
    this.limit = PAGE;
    this.error = new Message();
    const id = unique("class");
    this.size = h("span", { class: "soft small" });
    this.examples = h("ul", { class: areFiles(view.kind) ? "thumbs" : "texts", "aria-label": `Examples of ${label}` });
    this.more = button("Show more", async () => {
      this.limit = Math.min(1000, this.limit + 5 * PAGE);
      this.draw(await api.examples(view.name, label, this.limit).catch((problem) => problem));
    }, { class: "link", hidden: true });
    this.composer = composer(view, label);
    this.composer.element.hidden = true;
    const add = button("Add", () => {
      this.composer.element.hidden = !this.composer.element.hidden;
      add.setAttribute("aria-expanded", String(!this.composer.element.hidden));
      if (!this.composer.element.hidden) this.composer.focus();
    }, { "aria-expanded": "false", "aria-label": `Add examples of ${label}` });
    const drop = button("Remove", () => this.drop(), { class: "quiet", "aria-label": `Remove the class ${label}` });
    this.element = h("section", { class: "class", "aria-labelledby": id },
      h("header", {}, h("div", { class: "clip" }, h("h3", { id }, label), this.size), h("div", { class: "buttons" }, add, drop)),
      this.examples, this.more, this.composer.element, this.error.element);
    if (areFiles(view.kind)) {
      dropping(this.element, (found) => {
        this.composer.element.hidden = false;
        this.composer.intake.take(found);
      });
    }
  }

  update(size, result) {
    this.size.textContent = count(size, "example");
    this.total = size;
    this.draw(result);
  }

  draw(result) {
    if (result instanceof Error) {
      if (result.status !== 404) this.error.show(result);
      return;
    }
    const had = this.examples.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    const old = new Map([...this.examples.children].map((item) => [item.dataset.key, item]));
    this.examples.replaceChildren(...result.map((example) => old.get(String(example.id)) ?? this.item(example)));
    this.examples.querySelectorAll(".thumb").forEach((thumb, i) => thumb.setAttribute("aria-label", `Example ${i + 1} of ${this.label}: change or delete`));
    if (had) this.examples.querySelector(`[data-id="${CSS.escape(had)}"]`)?.focus();
    this.more.hidden = result.length >= this.total;
  }

  item(example) {
    const open = { type: "button", "data-id": example.id, onclick: () => this.edit(example) };
    if (example.picture) {
      const image = h("img", { alt: "", loading: "lazy" });
      api.showPicture(image, example.picture).catch(() => {});
      return h("li", { "data-key": example.id }, h("button", { ...open, class: "thumb" }, image));
    }
    const text = example.text ?? this.unseen(example);
    return h("li", { "data-key": example.id }, h("span", {}, text), h("button", { ...open, class: "tiny", "aria-label": `Change or delete “${text}”` }, "Edit"));
  }

  /** What an example is called that cannot be shown: of a picture that was taught elsewhere, a file has what was learned from it. */
  unseen(example) {
    const file = { pictures: "Picture", sounds: "Sound" }[this.view.kind];
    return file ? `${file} ${example.id}, taught in a file` : `${example.features} numbers (example ${example.id})`;
  }

  edit(example) {
    const [title, field] = [unique("title"), unique("label")];
    const error = new Message();
    const label = h("input", { id: field, value: this.label, required: true, list: "known-classes", maxlength: 100, autocomplete: "off" });
    const shown = example.picture ? h("img", { class: "large", alt: `An example of ${this.label}` }) : h("blockquote", {}, example.text ?? this.unseen(example));
    if (example.picture) api.showPicture(shown, example.picture).catch(() => {});
    const change = (work, message) => async () => {
      error.clear();
      try {
        const { version } = await work();
        dialog.close();
        announce(message());
        await this.view.refresh(version);
      } catch (problem) {
        error.show(problem);
      }
    };
    const save = h("button", { class: "primary" }, "Save");
    const dialog = h("dialog", { "aria-labelledby": title },
      h("form", { onsubmit: async (event) => {
        event.preventDefault();
        if (label.value.trim() === this.label) dialog.close();
        else await busy(save, change(() => api.relabel(this.view.name, example.id, label.value.trim()), () => `It is ${label.value} now`));
      } },
        h("h2", { id: title }, `Example of ${this.label}`), shown,
        h("div", { class: "field" }, h("label", { for: field }, "This is"), label),
        error.element,
        h("div", { class: "buttons" }, save,
          h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
          button("Delete", change(() => api.forget(this.view.name, example.id), () => "Deleted the example"), { class: "danger", "aria-label": "Delete the example" }),
          button("Erase for good", async () => {
            const agreed = await confirm("Erase it for good?", "It goes from every version and from the service's files. This can't be undone, and no earlier version brings it back.", "Erase for good");
            if (agreed) await change(() => api.erase(this.view.name, example.id), () => "Erased the example for good")();
          }, { class: "danger", "aria-label": "Erase the example for good" }))));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    label.select();
  }

  async drop() {
    this.error.clear();
    const agreed = await confirm(`Remove ${this.label}?`, `The task forgets the class and its ${count(this.total, "example")}. An earlier version brings them back.`, "Remove the class");
    if (!agreed) return;
    try {
      const { version } = await api.dropClass(this.view.name, this.label, this.view.version);
      announce(`Removed ${this.label}`);
      await this.view.refresh(version);
    } catch (problem) {
      this.error.show(problem);
      if (problem.status === 412) await this.view.refresh();
    }
  }
}
