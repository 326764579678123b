// A support desk on a task of texts: messages, what is said to them and why, corrections, and what it quotes from.

import * as api from "./api.js";
import { Message, announce, busy, button, count, h, percent } from "./dom.js";

const KINDS = { reply: "Reply", question: "Question back", passage: "Quoted", "hand-over": "Handed over" };

/** A file as the service takes it: PDFs as bytes. */
async function document(file) {
  if (!file.name.toLowerCase().endsWith(".pdf")) return { name: file.name, text: await file.text() };
  const pieces = [];
  const bytes = new Uint8Array(await file.arrayBuffer());
  for (let at = 0; at < bytes.length; at += 0x8000) pieces.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  return { name: file.name, pdf: btoa(pieces.join("")) };
}

/** The part of a task's page that chats. */
export class Chat {
  constructor(view) {
    this.view = view;
    this.error = new Message();
    this.log = h("ol", { class: "chat", role: "log", "aria-label": "The conversation" });
    this.message = h("input", { "aria-label": "A message", autocomplete: "off", required: true, maxlength: 10000, dir: "auto" });
    this.send = h("button", { class: "primary" }, "Send");
    this.known = h("p", { class: "soft small", role: "status" });
    this.form = h("form", { class: "inline", onsubmit: async (event) => {
      event.preventDefault();
      await busy(this.send, () => this.say(this.message.value));
    } }, this.message, this.send,
      button("Begin anew", () => this.anew(), { class: "quiet" }));
    this.waiting = h("p", { class: "soft" });
    this.element = h("section", { class: "panel", "aria-labelledby": "chat", hidden: true },
      h("h2", { id: "chat" }, "Chat with it"), this.waiting, this.log, this.error.element, this.form, this.sources());
  }

  /** What it says, chosen from files; the names are those of the command line's options. */
  sources() {
    this.replies = h("input", { type: "file", id: "chat-replies", accept: ".jsonl,.json,.ndjson" });
    this.documents = h("input", { type: "file", id: "chat-documents", multiple: true, accept: ".md,.markdown,.txt,.html,.htm,.pdf" });
    const give = h("button", {}, "Use these");
    return h("details", { class: "why" }, h("summary", {}, "Replies and documents"),
      h("form", { onsubmit: async (event) => {
        event.preventDefault();
        await busy(give, () => this.give());
      } },
        h("div", { class: "field" }, h("label", { for: "chat-replies" }, "Replies, a JSON object a line"), this.replies),
        h("div", { class: "field" }, h("label", { for: "chat-documents" }, "Documents that it quotes (.md, .txt, .html, .pdf)"), this.documents),
        h("p", { class: "soft small" }, "They take the place of what it has."),
        h("div", { class: "buttons" }, give)), this.known);
  }

  async update(task) {
    this.element.hidden = this.view.kind !== "texts" || task.classes.length < 2;
    if (this.element.hidden) return;
    const decides = task.reject || task.coverage;
    this.waiting.textContent = decides ? "It replies by class, quotes documents, and hands over where neither fits." : "It would take every message for one of its classes: set “none of these” first.";
    this.form.hidden = !decides;
    if (this.asked) return;
    this.asked = true;
    this.tell(await api.desk(this.view.name));
  }

  tell({ replies, passages }) {
    this.known.textContent = `It has ${count(replies.length, "reply", "replies")} and ${count(passages, "passage")}.`;
  }

  async give() {
    this.error.clear();
    try {
      const lines = this.replies.files.length ? (await this.replies.files[0].text()).split("\n").filter((line) => line.trim()) : [];
      const replies = lines.map((line, i) => {
        try {
          return JSON.parse(line);
        } catch {
          throw new Error(`line ${i + 1} of ${this.replies.files[0].name} is not JSON: write one object a line`);
        }
      });
      const documents = await Promise.all([...this.documents.files].map(document));
      this.tell(await api.giveDesk(this.view.name, { replies, documents }));
      announce(this.known.textContent);
    } catch (problem) {
      this.error.show(problem);
    }
  }

  async say(message) {
    this.error.clear();
    try {
      const said = await api.chat(this.view.name, message, this.conversation);
      this.conversation = said.conversation;
      this.message.value = "";
      this.log.append(h("li", { class: "mine", dir: "auto" }, message), this.turn(said));
      this.log.scrollTop = this.log.scrollHeight;
    } catch (problem) {
      this.error.show(problem);
    }
    this.message.focus();
  }

  /** What was said, why, and how to correct it. */
  turn(said) {
    const why = [KINDS[said.kind], said.intent && (said.probability === null ? said.intent : `${said.intent}, ${percent(said.probability)}`), said.rule && `by “${said.rule}”`, said.source && `${said.source}, similarity ${said.similarity.toFixed(2)}`];
    const labels = this.view.task.classes.map(({ label }) => label).filter((label) => label !== said.intent);
    const pick = h("select", { "aria-label": "Wrong? It was", onchange: () => this.correct(said, pick) },
      h("option", { value: "" }, "Wrong? It was …"), labels.map((label) => h("option", { value: label }, label)));
    return h("li", { class: said.kind === "hand-over" ? "theirs none" : "theirs" }, h("p", { dir: "auto" }, said.text),
      h("p", { class: "soft small" }, why.filter(Boolean).join(" · ")), said.id ? pick : "");
  }

  async correct(said, pick) {
    if (!pick.value) return;
    this.error.clear();
    try {
      const { version } = await api.feedback(this.view.name, said.id, pick.value);
      announce(`Learned as ${pick.value}`);
      pick.replaceWith(h("p", { class: "done small" }, `✓ Learned as ${pick.value}; the versions below take it back`));
      await this.view.refresh(version);
    } catch (problem) {
      pick.value = "";
      this.error.show(problem);
    }
  }

  anew() {
    this.conversation = undefined;
    this.log.replaceChildren();
    this.message.focus();
  }
}
