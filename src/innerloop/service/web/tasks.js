// The list of tasks, and the form that makes one.

import * as api from "./api.js";
import { Message, ago, announce, busy, button, count, h } from "./dom.js";

const KINDS = { pictures: "Pictures", sounds: "Sounds", texts: "Sentences", features: "Numbers" };
const NAME = String.raw`[\p{L}\p{Nd}][\p{L}\p{M}\p{Nd}._\-]{0,63}`;  // the server's own (service/task_names.py)

/** Fills `place`; nothing needs stopping when it is left. */
export async function tasksPage(place) {
  const [tasks, sources] = await Promise.all([api.tasks(), api.sources()]);
  const form = newTask(sources, new Set(tasks.map((task) => task.name)), tasks.length === 0);
  place.replaceChildren(
    h("h1", {}, "Tasks"),
    h("p", { class: "lead" }, "Teach a model to tell things apart from a handful of examples of each."),
    h("div", { class: "columns" },
      h("section", { "aria-label": "Your tasks" }, tasks.length ? list(tasks) : empty(), importer()),
      form));
  return () => {};
}

function empty() {
  return h("div", { class: "empty" },
    h("h2", {}, "Nothing taught yet"),
    h("p", {}, "A task is a set of classes that you show by example: five photos of each bird, or a few ways to ask for a refund."),
    h("ol", {},
      h("li", {}, "Name it and choose what it starts from."),
      h("li", {}, "Give some examples of two classes or more."),
      h("li", {}, "Try it on something new, and correct it where it is wrong.")));
}

function list(tasks) {
  const newest = [...tasks].sort((a, b) => String(b.created).localeCompare(String(a.created)));
  return h("ul", { class: "cards" }, newest.map((task) => {
    const examples = task.classes.reduce((sum, c) => sum + c.examples, 0);
    return h("li", {},
      h("a", { class: "card", href: `#/tasks/${encodeURIComponent(task.name)}` },
        h("strong", { dir: "auto" }, task.name),
        h("span", { class: "soft" }, task.classes.length
          ? `${count(task.classes.length, "class", "classes")}, ${count(examples, "example")}`
          : "No examples yet"),
        h("span", { class: "soft small" }, `${task.source} · made ${ago(task.created)}`)));
  }));
}

/** Makes a task of a file that Download, innerloop adapt or Python wrote. */
function importer() {
  const error = new Message();
  const chosen = h("input", { type: "file", accept: ".fewshot", class: "unseen", tabindex: "-1", "aria-label": "Choose a .fewshot file" });
  const open = button("Import a file", () => chosen.click(), { "aria-describedby": "import-help" });
  chosen.addEventListener("change", async () => {
    const [file] = chosen.files;
    if (!file) return;
    error.clear();
    await busy(open, async () => {
      try {
        const task = await api.importTask(file);
        announce(`Imported ${task.name}`);
        location.hash = `#/tasks/${encodeURIComponent(task.name)}`;
      } catch (problem) {
        error.show(problem);
      }
    });
    chosen.value = "";
  });
  return h("div", { class: "import" }, open, chosen,
    h("p", { class: "help", id: "import-help" }, "A .fewshot file that was downloaded here, or made by innerloop adapt, with all its versions."),
    error.element);
}

function newTask(sources, taken, open) {
  const error = new Message();
  const name = h("input", { id: "name", name: "name", required: true, maxlength: 256, pattern: NAME, autocomplete: "off",
    spellcheck: "false", dir: "auto", "aria-describedby": "name-help", onchange: () => { name.value = name.value.trim().normalize("NFC"); } });
  const kinds = Object.keys(KINDS).filter((kind) => sources.some((source) => source.kind === kind));
  const choices = kinds.map((kind) => h("fieldset", { class: "choices" },
    h("legend", {}, KINDS[kind]),
    h("div", {}, sources.filter((source) => source.kind === kind).map((source) => h("label", { class: "choice" },
      h("input", { type: "radio", name: "source", value: source.name, required: true }),
      h("span", {}, h("strong", {}, source.name), h("span", { class: "soft small" }, source.about ?? "")))))));
  const reject = h("input", { type: "checkbox", id: "reject" });
  const rate = h("input", { type: "number", id: "rate", min: 1, max: 99, step: 1, value: 5, "aria-label": "Percent", "aria-describedby": "rate-help" });
  const side = h("select", { id: "side" },
    h("option", { value: "strangers" }, "strangers let through, at most"), h("option", { value: "coverage" }, "answers to what belongs, at least"));
  const rejecting = h("div", { class: "field", hidden: true },
    h("label", { for: "side" }, "What it holds to"), side,
    h("div", { class: "inline" }, rate, h("span", {}, "%")),
    h("p", { class: "help", id: "rate-help" }, "Strangers are things that belong to no class. Once the task has two examples of its classes, its page says both shares, and you can change your mind there."));
  side.addEventListener("change", () => { rate.value = side.value === "coverage" ? 90 : 5; });
  reject.addEventListener("change", () => { rejecting.hidden = !reject.checked; });
  const head = h("select", { id: "head", "aria-describedby": "head-help" },
    [["", "as what it starts from usually does"], ["auto", "chosen by your examples"],
      ...["centroid", "ridge", "linear", "random_projection"].map((value) => [value, value])]
      .map(([value, text]) => h("option", { value }, text)));
  const fitting = h("div", { class: "field", hidden: true },
    h("label", { for: "head" }, "How it tells the classes apart"), head,
    h("p", { class: "help", id: "head-help" }, "Centroid compares with each class's mean; the others learn which differences matter, which pays with more examples."));
  const budget = h("input", { type: "number", id: "budget", min: 1, step: 1, "aria-describedby": "budget-help" });
  const names = h("select", { id: "names", "aria-describedby": "names-help" },
    [["", "learned from where they mean something"], ["on", "learned from"], ["off", "not learned from"]]
      .map(([value, text]) => h("option", { value }, text)));
  const classes = h("input", { id: "classes", autocomplete: "off", "aria-describedby": "classes-help" });
  const naming = h("div", { class: "field", hidden: true },
    h("label", { for: "names" }, "Names of classes are"), names,
    h("p", { class: "help", id: "names-help" }, "A name such as “card payment fee” says what its class is about, as an example does."),
    h("label", { for: "classes" }, "Classes it knows from the start"), classes,
    h("p", { class: "help", id: "classes-help" }, "If you like: names with commas between them, for example refund, delivery. They answer before there is an example."));
  const submit = h("button", { class: "primary", hidden: !sources.length }, "Make the task");
  const form = h("form", { class: "panel", "aria-labelledby": "new-title", onsubmit: async (event) => {
    event.preventDefault();
    error.clear();
    if (taken.has(name.value)) {
      error.show({ message: `there is a task called "${name.value}" already; take another name` });
      name.focus();
      return;
    }
    await busy(submit, async () => {
      try {
        const task = await api.createTask({
          name: name.value,
          source: new FormData(form).get("source"),
          ...(head.value && !fitting.hidden ? { head: head.value } : {}),
          ...(names.value && !naming.hidden ? { names: names.value } : {}),
          ...(known().length && !naming.hidden ? { classes: known() } : {}),
          ...(reject.checked ? { [side.value]: Number(rate.value) / 100 } : {}),
          ...(budget.value ? { budget: Number(budget.value) } : {}),
        });
        announce(`Made ${task.name}`);
        location.hash = `#/tasks/${encodeURIComponent(task.name)}`;
      } catch (problem) {
        error.show(problem);
      }
    });
  } },
    h("h2", { id: "new-title" }, open ? "Make your first task" : "New task"),
    h("div", { class: "field" },
      h("label", { for: "name" }, "Name"), name,
      h("p", { class: "help", id: "name-help" }, "Letters and digits of any script, dots, dashes; no spaces. For example garden-birds.")),
    h("div", { class: "field", role: "group", "aria-labelledby": "source-label" },
      h("p", { class: "label", id: "source-label" }, "What it starts from"),
      choices.length ? choices : h("p", { class: "soft" }, "Nothing: this service was started with --source, which names all that it may use. Name what new tasks start from there too, as in --source mine.fewshot efficientnet-lite0, or leave it out.")),
    h("div", { class: "field" },
      h("label", { class: "check" }, reject, h("span", {}, "Answer “none of these” when nothing is near"))),
    rejecting,
    h("div", { class: "field" },
      h("label", { for: "budget" }, "Examples of a class that it learns from, at most"), budget,
      h("p", { class: "help", id: "budget-help" }, "Empty: all of them. Otherwise a fair sample of all that a class was ever taught, for tasks that are taught for months.")),
    fitting,
    naming,
    error.element,
    submit);
  const known = () => classes.value.split(",").map((one) => one.trim()).filter(Boolean);
  const offered = new Map(sources.map((source) => [source.name, source]));
  const fitted = () => {
    const source = offered.get(new FormData(form).get("source"));
    fitting.hidden = !source?.heads;
    naming.hidden = !source?.names;
  };
  form.addEventListener("change", fitted);
  if (sources.length === 1) form.querySelector("input[type=radio]").checked = true;  // among several it matters: the person says
  fitted();
  return form;
}
