// Elements, messages for screen readers, and how things are spelled. No state.

/**
 * Makes an element. Attributes that start with "on" are listeners, `true` sets an empty attribute, null and false none.
 * Children are text, never markup.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

let serial = 0;

/** An id that no other element has. */
export const unique = (word) => `${word}-${++serial}`;

/** Says something to screen readers without moving the focus. */
export function announce(text) {
  const live = document.getElementById("live");
  live.textContent = "";
  setTimeout(() => { live.textContent = text; }, 50);
}

/** A place for one message, near what caused it; empty until there is one. */
export class Message {
  constructor() {
    this.element = h("div", { class: "error", role: "alert", hidden: true });
  }

  /** Shows what went wrong, with buttons that may help. */
  show(error, ...buttons) {
    this.element.replaceChildren(h("p", {}, sentence(error.message ?? String(error))), ...buttons.filter(Boolean));
    this.element.hidden = false;
  }

  clear() {
    this.element.replaceChildren();
    this.element.hidden = true;
  }

  /** Does work, and shows why where it fails. */
  async attempt(work) {
    this.clear();
    try {
      await work();
    } catch (problem) {
      this.show(problem);
    }
  }
}

/** With a capital and a full stop, unless it starts with a name such as cat.png. */
const sentence = (text) => (/^[a-z']+\s/.test(text) ? text.charAt(0).toUpperCase() : text.charAt(0)) + text.slice(1) + (/[.!?)]$/.test(text) ? "" : ".");

/** A button; while its work is under way it can't be pressed again. */
export function button(label, work, attributes = {}) {
  const element = h("button", { type: "button", ...attributes, onclick: async () => {
    if (element.getAttribute("aria-disabled") === "true") return;
    await busy(element, work);
  } }, label);
  return element;
}

/** Does work while an element says that it is busy; keeps the focus where it is. */
export async function busy(element, work) {
  element.setAttribute("aria-disabled", "true");
  element.classList.add("busy");
  try {
    return await work();
  } finally {
    element.removeAttribute("aria-disabled");
    element.classList.remove("busy");
  }
}

/** Asks before something that can't be taken back; resolves to true where the person agrees. */
export function confirm(title, text, yes) {
  return new Promise((resolve) => {
    const id = unique("title");
    const dialog = h("dialog", { "aria-labelledby": id },
      h("form", { method: "dialog" },
        h("h2", { id }, title),
        h("p", {}, text),
        h("div", { class: "buttons" },
          h("button", { class: "danger", value: "yes" }, yes),
          h("button", { value: "no", autofocus: true }, "Cancel"))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Whether examples of a kind are files, which are chosen or recorded, not typed. */
export const areFiles = (kind) => kind === "pictures" || kind === "sounds";

/** "1 example", "2 examples". */
export const count = (n, word, words = `${word}s`) => `${n.toLocaleString("en")} ${n === 1 ? word : words}`;

/** "97%", and never 100% or 0% for what isn't quite so. */
export function percent(p) {
  if (p > 0.99 && p < 1) return ">99%";
  if (p < 0.01 && p > 0) return "<1%";
  return `${Math.round(100 * p)}%`;
}

/** "just now", "5 minutes ago", then the date. */
export function ago(time) {
  const then = new Date(typeof time === "number" ? 1000 * time : time);
  const seconds = (Date.now() - then.getTime()) / 1000;
  if (!Number.isFinite(seconds)) return String(time);
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${count(Math.max(1, Math.round(seconds / 60)), "minute")} ago`;
  if (seconds < 86400) return `${count(Math.round(seconds / 3600), "hour")} ago`;
  return then.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}
