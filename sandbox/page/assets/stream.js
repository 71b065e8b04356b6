// Keeps the chat of one person up to date, through restarts of the server.
import { control } from "./api.js";

const longest = 5000;

// follow calls onChat with every snapshot and onState with true when connected, false when not.
export function follow(user, onChat, onState) {
  let wait = 500;
  let source;
  const take = (event) => {
    wait = 500;
    onState(true);
    onChat(JSON.parse(event.data));
  };
  const open = () => {
    source = new EventSource(`${control}/users/${user}/events`);
    source.addEventListener("message", take);
    source.addEventListener("chat", take);
    source.addEventListener("open", () => onState(true));
    source.addEventListener("error", () => {
      onState(false);
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      setTimeout(open, wait);
      wait = Math.min(longest, wait * 2);
    });
  };
  open();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && open());
}
