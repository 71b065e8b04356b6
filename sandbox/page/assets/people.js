// The customers of this browser, each with a chat of their own.
import { $, el, icon } from "./dom.js";

const key = "sallyport-people";
const last = "sallyport-last-chat";
const languages = { en: "English", ru: "Русский", de: "Deutsch" };
const starters = [{ id: 1001, name: "Anna", lang: "ru" }, { id: 1002, name: "Ben", lang: "en" }];

// current reads the person from the address.
export function current() {
  const query = new URLSearchParams(location.search);
  const id = Number(query.get("user"));
  const known = people().find((p) => p.id === id);
  if (!Number.isSafeInteger(id) || id <= 0) return people()[0];
  return { id, name: query.get("name") || known?.name || `Customer ${id}`, lang: query.get("lang") ?? known?.lang ?? "en" };
}

// lastChat is where the chat is that was opened last.
export const lastChat = () => `/${localStorage.getItem(last) ?? ""}`;

// address is where a person's chat is.
const address = (p) => `?${new URLSearchParams({ user: p.id, name: p.name, lang: p.lang })}`;

function people() {
  try {
    const kept = JSON.parse(localStorage.getItem(key));
    return kept?.length ? kept : starters;
  } catch {
    return starters;
  }
}

const keep = (list) => localStorage.setItem(key, JSON.stringify(list));

// start shows the list and remembers the person.
export function start(me) {
  const list = people();
  const at = list.findIndex((p) => p.id === me.id);
  if (at < 0) list.push(me);
  else list[at] = me;
  keep(list);
  history.replaceState(null, "", address(me));
  localStorage.setItem(last, address(me));
  document.title = `${me.name} · Sallyport sandbox`;
  show(me);
  form();
  addEventListener("storage", (event) => event.key === key && show(me));
}

function show(me) {
  $("persons").replaceChildren(...people().map((p) => el("li", { class: "person" },
    el("a", { href: address(p), "aria-current": p.id === me.id && "true" },
      el("span", { class: `face tone-${p.id % 5}`, "aria-hidden": "true" }, [...p.name][0].toUpperCase()),
      el("span", {}, el("span", { class: "name" }, p.name),
        el("span", { class: "about" }, `${p.id} · ${languages[p.lang] ?? (p.lang || "no language")}`))),
    p.id !== me.id && el("button", { class: "round", type: "button", "aria-label": `Forget ${p.name}`,
      onclick: () => { keep(people().filter((other) => other.id !== p.id)); show(me); } }, icon("close")))));
}

function form() {
  const fields = $("person-form").elements;
  fields.user.value = Math.max(1000, ...people().map((p) => p.id)) + 1;
  $("person-form").addEventListener("submit", (event) => {
    event.preventDefault();
    location.assign(address({ id: Number(fields.user.value), name: fields.name.value.trim(), lang: fields.lang.value }));
  });
}
