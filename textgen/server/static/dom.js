// The page's elements: finding them, and making new ones.

export const $ = (id) => document.getElementById(id);

export function element(kind, properties = {}, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

export const seedElement = (text) => element("span", { className: "seed" }, text);
