// A button beside each command that copies it.
for (const block of document.querySelectorAll("pre > code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  const named = block.textContent.length > 60 ? `${block.textContent.slice(0, 60)}…` : block.textContent;
  button.setAttribute("aria-label", `Copy ${named}`);
  button.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(block.textContent);
    } catch { // a page opened from disk may not be allowed to: select the command instead
      getSelection().selectAllChildren(block);
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  const frame = document.createElement("div");
  frame.className = "command";
  block.parentElement.replaceWith(frame);
  frame.append(block.parentElement, button);
}
