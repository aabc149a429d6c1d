// Makes elements. Text is always text, never markup: names come from the user's data.

export function element(name, properties = {}, ...children) {
  const { role, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  if (role) made.setAttribute("role", role);
  made.append(...children);
  return made;
}

// Whether a key pressed at this element is for the element itself.
export const takesKeys = (target) => Boolean(target.closest?.("input, select, button, summary, .plot"));
