// The field that asks for the token, once the server has asked for it.
import { keepToken, onLocked } from "./api.js";
import { at } from "./dom.js";

export function lock() {
  const dialog = at("lock");
  let asked = null;
  onLocked((wrong) => {
    asked ??= new Promise((done) => {
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
