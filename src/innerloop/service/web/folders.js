// What is chosen or dropped: files, folders and zips. The service says which pictures of them are read, and of which class.

import * as api from "./api.js";
import { count } from "./dom.js";
import { Zip } from "./zip.js";

const NAMED = 5;  // files that a notice names
const isZip = ({ path, file }) => path === null && /\.zip$/i.test(file.name);
const hidden = (part) => part.startsWith(".") || part === "__MACOSX";

/** Those of a list of files that came without their folders, or with them where a folder was chosen. */
export const chosen = (files) => [...files].map((file) => ({ file, path: file.webkitRelativePath || null }));

/** Pictures as {file, label, name}, and notices about what is left out. `classes`: whether folders are the classes. */
export async function gather(task, found, classes, say = () => {}) {
  const things = found.filter(({ path, file }) => path === null && !isZip({ path, file })).map(({ file }) => ({ file, label: null, name: file.name }));
  const notices = [];
  const inFolders = found.filter(({ path }) => path !== null);
  if (inFolders.length) add(await ofFolder(task, inFolders, classes));
  for (const { file } of found.filter(isZip)) {
    say(`Reading ${file.name}…`);
    add(await ofZip(task, file, classes));
  }
  function add(more) {
    things.push(...more.things);
    notices.push(...more.notices);
  }
  return { things, notices };
}

async function ofFolder(task, found, classes) {
  const paths = found.map(({ path }) => path.split("/"));
  const tops = new Set(paths.map(([top]) => top));
  const deep = paths.some((parts) => parts.length > 2 && !parts.some(hidden));
  // One folder with folders in it holds the classes; one without, or each of several, is a class.
  const skip = tops.size === 1 && deep ? 1 : 0;
  const names = paths.map((parts) => parts.slice(skip).join("/").replaceAll("\n", "?"));
  const { files, notices } = await api.folder(task, "names", new Blob([names.join("\n")]), tops.size === 1 ? [...tops][0] : "folders", classes);
  return { things: files.map(({ index, name, label }) => ({ file: found[index].file, label, name })), notices };
}

async function ofZip(task, file, classes) {
  const zip = await Zip.open(file);
  const { files, notices } = await api.folder(task, "zip", zip.directory, file.name, classes);
  const things = [];
  const damaged = [];
  for (const { index, name, label } of files) {
    try {
      things.push({ file: await zip.unpack(index), label, name: `${file.name}/${name}` });
    } catch (error) {
      damaged.push(`${name} (${error.message})`);
    }
  }
  if (damaged.length) {
    const more = damaged.length > NAMED ? ` and ${damaged.length - NAMED} more` : "";
    notices.push(`${file.name}: left out ${count(damaged.length, "file")}: ${damaged.slice(0, NAMED).join(", ")}${more}`);
  }
  return { things, notices };
}

/** Takes files and folders that are dropped on an element. */
export function dropping(element, take) {
  element.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    element.classList.add("over");
  });
  for (const name of ["dragleave", "drop"]) element.addEventListener(name, () => element.classList.remove("over"));
  element.addEventListener("drop", async (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    // The list is emptied once this listener returns, so entries are taken before the first wait.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const flat = chosen(event.dataTransfer.files);
    take(entries.some((entry) => entry.isDirectory) ? (await Promise.all(entries.map((entry) => inside(entry, "")))).flat() : flat);
  });
}

async function inside(entry, above) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: above ? `${above}${entry.name}` : null }];
  }
  const reader = entry.createReader();
  const children = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    children.push(...some);
  }
  return (await Promise.all(children.map((child) => inside(child, `${above}${entry.name}/`)))).flat();
}
