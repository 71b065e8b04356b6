// Keeps the chat of one person up to date, through restarts of the server.
import { control } from "./api.js";

const longest = 5000; // between two tries to connect
// A browser keeps few connections to one server for all its tabs together, so a tab out of sight lets go of its own.
const unseen = 10000;

// follow calls onChat with every snapshot and onState with true when connected, false when not.
export function follow(user, onChat, onState) {
  let wait = 500;
  let source;
  let timer;
  const take = (event) => {
    wait = 500;
    onState(true);
    onChat(JSON.parse(event.data));
  };
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = undefined;
  };
  const open = () => {
    close();
    source = new EventSource(`${control}/users/${user}/events`);
    source.addEventListener("message", take);
    source.addEventListener("open", () => onState(true));
    source.addEventListener("error", () => {
      onState(false);
      if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      timer = setTimeout(open, wait);
      wait = Math.min(longest, wait * 2);
    });
  };
  open();
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(close, unseen);
    else if (source?.readyState !== EventSource.OPEN) open();
  });
}
