// The routes, the key, and one kind of error that carries the server's message.

const KEY = "innerloop-key";

/** What the server said was wrong; `status` 0: it couldn't be reached. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const key = () => sessionStorage.getItem(KEY);
let asking = null;

function askForKey(again) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    const field = document.getElementById("key-value");
    const error = dialog.querySelector(".error");
    error.hidden = !again;
    error.textContent = again ? "The service does not know this key." : "";
    field.value = "";
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      asking = null;
      if (dialog.returnValue === "ok") sessionStorage.setItem(KEY, field.value.trim());
      resolve(dialog.returnValue === "ok");
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

const pause = (seconds) => new Promise((resolve) => { setTimeout(resolve, 1000 * seconds); });

// What a change is called, so that the service makes it once, however often it is sent. `randomUUID` needs HTTPS.
export const newName = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function send(method, path, { json, form, version, name = newName() } = {}, tries = 4) {
  const headers = method === "GET" ? {} : { "Idempotency-Key": name };
  const used = key();
  if (used) headers.Authorization = `Bearer ${used}`;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (version !== undefined) headers["If-Match"] = `"${version}"`;
  let answer;
  try {
    answer = await fetch(path.replace(/^\//, ""), { method, headers, body: form ?? (json === undefined ? undefined : JSON.stringify(json)) });
  } catch {
    if (tries > 1) {
      await pause(0.25 * 2 ** (4 - tries));
      return send(method, path, { json, form, version, name }, tries - 1);
    }
    throw new ApiError(0, "the service can't be reached; what you entered is still here, try again in a moment");
  }
  if (answer.status === 401) {
    if (key() !== used || await askForKey(used !== null)) return send(method, path, { json, form, version, name });
    throw new ApiError(401, "this needs an API key");
  }
  if ([429, 503].includes(answer.status) && answer.headers.has("Retry-After") && tries > 1) {
    // There is too much at once. What was done all the same, as an erasing whose bytes are still there, is known by its name.
    await pause(Math.min(10, Number(answer.headers.get("Retry-After")) || 1));
    return send(method, path, { json, form, version, name }, tries - 1);
  }
  if (!answer.ok) {
    const refusal = await answer.json().catch(() => null);
    throw new ApiError(answer.status, refusal?.error ?? `the service answered ${answer.status} ${answer.statusText}`);
  }
  return answer;
}

async function call(method, path, options) {
  const answer = await send(method, path, options);
  return answer.status === 204 ? null : answer.json();
}

const part = encodeURIComponent;
const of = (name) => `api/tasks/${part(name)}`;

export const sources = () => call("GET", "api/sources");
export const tasks = () => call("GET", "api/tasks");
export const createTask = (json) => call("POST", "api/tasks", { json });
export const askTask = (name, json) => call("PATCH", of(name), { json });
export function importTask(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  return call("POST", "api/tasks/import", { form });
}
export const task = (name) => call("GET", of(name));
export const deleteTask = (name) => call("DELETE", of(name));
export const dropClass = (name, label, version) => call("DELETE", `${of(name)}/classes/${part(label)}`, { version });
export const evaluation = (name) => call("GET", `${of(name)}/evaluation`);
export const shots = (name, numbers) => call("GET", `${of(name)}/shots?${new URLSearchParams(numbers.map((n) => ["shots", n]))}`);
export const abilities = (name) => call("GET", `${of(name)}/abilities`);
export const versions = (name) => call("GET", `${of(name)}/versions`);
export const undo = (name, to, version) => call("POST", `${of(name)}/undo`, { json: { to }, version });
export const relabel = (name, id, label) => call("PATCH", `${of(name)}/examples/${part(id)}`, { json: { label } });
export const forget = (name, id) => call("DELETE", `${of(name)}/examples/${part(id)}`);
export const erase = (name, id) => call("DELETE", `${of(name)}/examples/${part(id)}?forever=1`);
export const feedback = (name, prediction, label) => call("POST", `${of(name)}/feedback`, { json: { prediction, label } });
export const chat = (name, message, conversation = null) => call("POST", `${of(name)}/chat`, { json: { message, conversation } });
export const desk = (name) => call("GET", `${of(name)}/desk`);
export const giveDesk = (name, json) => call("POST", `${of(name)}/desk`, { json });
const tagging = (name) => `api/taggers/${part(name)}`;
export const taggers = () => call("GET", "api/taggers");
export const tagger = (name) => call("GET", tagging(name));
export const createTagger = (name, source, sentences) => call("POST", "api/taggers", { json: { name, source, sentences } });
export const words = (texts) => call("POST", "api/taggers/words", { json: { texts } });
export const deleteTagger = (name) => call("DELETE", tagging(name));
export const taggerVersions = (name) => call("GET", `${tagging(name)}/versions`);
export const undoTagger = (name, to, version) => call("POST", `${tagging(name)}/undo`, { json: { to }, version });
export const tag = (name, texts) => call("POST", `${tagging(name)}/tag`, { json: { texts } });
export const teachTagger = (name, sentences) => call("POST", `${tagging(name)}/sentences`, { json: { sentences } });
export const dropType = (name, type, version) => call("DELETE", `${tagging(name)}/types/${part(type)}`, { version });
export const downloadTagger = (name) => save(`${tagging(name)}/download`, name);
const recommending = (name) => `api/recommenders/${part(name)}`;
export const recommenders = () => call("GET", "api/recommenders");
export const recommender = (name) => call("GET", recommending(name));
export const items = (name, search, limit) => call("GET", `${recommending(name)}/items?${new URLSearchParams({ search, limit })}`);
export const recommend = (name, json) => call("POST", `${recommending(name)}/recommend`, { json });
export const questions = (name, json) => call("POST", `${recommending(name)}/ask`, { json });
const personOf = (name, person) => `${recommending(name)}/people/${part(person)}`;
export const person = (name, who) => call("GET", personOf(name, who));
export const meet = (name, json) => call("POST", `${recommending(name)}/people`, { json });
export const rate = (name, who, ratings) => call("POST", `${personOf(name, who)}/ratings`, { json: { ratings } });
export const forgetPerson = (name, who) => call("DELETE", `${personOf(name, who)}?forever=1`);
export const watched = (name) => call("GET", `${of(name)}/watch`);
export const beginWatch = (name, json) => call("POST", `${of(name)}/watch`, { json });
export const endWatch = (name) => call("DELETE", `${of(name)}/watch`);
export const events = (name, lines, finish) => call("POST", `${of(name)}/watch/events${finish ? "?finish=true" : ""}`, { form: lines.join("\n") });
export const runs = () => call("GET", "api/runs");
export const run = (name) => call("GET", `api/runs/${name.split("/").map(part).join("/")}`);
export const comparisons = (names) => call("GET", `api/comparisons?${new URLSearchParams(names.map((name) => ["run", name]))}`);

export function examples(name, label, limit, after) {
  const query = new URLSearchParams({ label, limit });
  if (after !== undefined) query.set("after", after);
  return call("GET", `${of(name)}/examples?${query}`);
}

/**
 * Teaches examples: {file, name}, {text} or {features}, each with its label in `labels`. `part`: the name of a change that
 * comes in several requests as {change}, and {more: true} with all but the last.
 */
export function teach(name, things, labels, part = {}) {
  const query = new URLSearchParams(part).toString();
  const path = `${of(name)}/examples${query && `?${query}`}`;
  if (!things[0].file) return call("POST", path, { json: { examples: things.map((thing, i) => ({ ...thing, label: labels[i] })) } });
  const form = filesOf(things);
  for (const label of labels) form.append("label", label);
  return call("POST", path, { form });
}

function filesOf(things) {
  const form = new FormData();
  for (const { file, name } of things) form.append("files", file, name);
  return form;
}

/** Which pictures of a folder are read, and of which class. `what`: "names" of its files, or the directory of a "zip". */
export function folder(name, what, content, called, classes) {
  const form = new FormData();
  form.append(what, content, called);
  return call("POST", `${of(name)}/folder?classes=${classes}`, { form });
}

/** What is in a table, read as the command line reads it; `options`: text_column, label_column, encoding. */
export function table(name, file, options = {}) {
  const form = new FormData();
  form.append("file", file, file.name);
  for (const [option, value] of Object.entries(options)) if (value) form.append(option, value);
  return call("POST", `${of(name)}/table`, { form });
}

/** Predictions for {file, name}, {text} or {features}; `query`: "?explain=true" for the taught examples that are nearest. */
export const predict = (name, things, query = "") => ask(name, `predict${query}`, things);

/** Which n of them to label next, the most telling first, each with its place among them as `index`; `by`: what is uncertain. */
export const suggest = (name, things, n, by) => ask(name, `suggestions?n=${n}&by=${by}`, things);

function ask(name, what, things) {
  const path = `${of(name)}/${what}`;
  if (things[0].file) return call("POST", path, { form: filesOf(things) });
  const json = "text" in things[0] ? { texts: things.map((t) => t.text) } : { features: things.map((t) => t.features) };
  return call("POST", path, { json });
}

/** A tagger of a file of tagged sentences, or of a .fewshot file. */
export function importTagger(name, source, file) {
  const form = new FormData();
  form.append("name", name);
  if (!file.name.endsWith(".fewshot")) form.append("source", source);  // such a file brings its own
  form.append("file", file, file.name);
  return call("POST", "api/taggers/import", { form });
}

/** Saves the task's file through the browser. */
export const download = (name) => save(`${of(name)}/download`, name);

async function save(path, name) {
  const answer = await send("GET", path);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = `${name}.fewshot`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The address of a sheet of generated examples, which the page holds. */
export async function generated(name, count, seed) {
  const answer = await send("GET", `${of(name)}/generated?count=${count}&seed=${seed}`);
  return URL.createObjectURL(await answer.blob());
}

/** Shows a stored picture; with a key it is fetched, because an <img> can't send one. */
export async function showPicture(image, url) {
  const path = url.replace(/^\//, "");
  if (!key()) {
    image.src = path;
    return;
  }
  const blob = await (await send("GET", path)).blob();
  image.src = URL.createObjectURL(blob);
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
}
