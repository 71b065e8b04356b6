// The pay page, for those who open an invoice outside the chat.
import { $ } from "./dom.js";
import { PayCard } from "./paycard.js";
import { lastChat } from "./people.js";

new PayCard($("pay"), decodeURIComponent(location.pathname.split("/").pop()), { back: () => location.assign(lastChat()) });
