// The field that asks for the token, once the server has asked for it.
import { keepToken, onLocked } from "./api.js";
import { at } from "./dom.js";
import { state } from "./state.js";

/** waiting: called where the page has nothing to show before there is a token. */
export function lock(waiting) {
  const dialog = at("lock");
  let asked = null;
  onLocked((wrong) => {
    asked ??= new Promise((done) => {
      if (!state.card) waiting();
      at("lock-wrong").hidden = !wrong;
      at("token").value = "";
      dialog.showModal();
      dialog.querySelector("form").onsubmit = () => {
        keepToken(at("token").value.trim());
        asked = null;
        done();
      };
    });
    return asked;
  });
  dialog.addEventListener("cancel", (event) => event.preventDefault());
}
