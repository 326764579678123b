// Which page is shown: #/ tasks, #/tasks/NAME one of them, #/taggers, #/recommend and #/runs likewise.

import { announce, h } from "./dom.js";
import { recommenderPage } from "./recommender.js";
import { recommendersPage } from "./recommenders.js";
import { runsPage } from "./runs.js";
import { taggerPage } from "./tagger.js";
import { taggersPage } from "./taggers.js";
import { taskPage } from "./task.js";
import { tasksPage } from "./tasks.js";

const main = document.getElementById("main");
let leave = () => {};
let first = true;

async function show() {
  const hash = location.hash || "#/";
  if (!hash.startsWith("#/")) return;  // "Skip to the content" stays on the page, which goes on looking for changes
  leave();
  leave = () => {};
  const [page, ...rest] = hash.slice(2).split("/");
  let gone = false;
  let stop = () => {};
  leave = () => { gone = true; stop(); };
  const place = h("div", {});
  main.replaceChildren(place);
  if (!first) main.focus();  // at once: later it would take the focus from what the person went on to
  for (const link of document.querySelectorAll("nav a[data-page]")) {
    const here = link.dataset.page === (["runs", "taggers", "recommend"].includes(page) ? page : "tasks");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    if (page === "runs") stop = await runsPage(place, rest.map(decodeURIComponent));
    else if (page === "taggers") stop = await (rest.length ? taggerPage(place, decodeURIComponent(rest[0])) : taggersPage(place));
    else if (page === "recommend") stop = await (rest.length ? recommenderPage(place, ...rest.map(decodeURIComponent)) : recommendersPage(place));
    else if (page === "tasks" && rest.length) stop = await taskPage(place, decodeURIComponent(rest[0]));
    else stop = await tasksPage(place);
  } catch (error) {
    place.replaceChildren(
      h("h1", {}, error.status === 404 ? "Not here" : "That did not work"),
      h("p", { class: "error", role: "alert" }, error.message),
      h("p", {}, h("a", { href: "#/" }, "Back to the tasks")));
  }
  if (gone) {
    stop();
    return;
  }
  document.title = `${place.querySelector("h1")?.textContent ?? "Tasks"} · innerloop`;
  if (!first) announce(document.title);
  first = false;
}

addEventListener("hashchange", show);
show();
