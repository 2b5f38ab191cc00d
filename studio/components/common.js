// An image under an SVG whose unit is an image pixel, with a cursor for the keyboard.
const SVG = "http://www.w3.org/2000/svg";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function stageOf(root, data) {
  const stage = root.querySelector(".stage");
  const image = stage.querySelector("img");
  const drawing = stage.querySelector("svg");
  if (image.src !== data.image) image.src = data.image;
  drawing.setAttribute("viewBox", `0 0 ${data.width} ${data.height}`);
  stage.style.aspectRatio = `${data.width} / ${data.height}`;
  stage.style.maxWidth = `${data.shown}px`;
  stage.setAttribute("aria-label", data.label);
  root.querySelector(".help").textContent = data.help;
  return { stage, drawing, said: root.querySelector(".said") };
}

function pointOf(event, drawing, data) {
  const box = drawing.getBoundingClientRect();
  const across = ((event.clientX - box.left) / box.width) * data.width;
  const down = ((event.clientY - box.top) / box.height) * data.height;
  return [within(across, 0, data.width - 1e-3), within(down, 0, data.height - 1e-3)];
}

function within(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function draw(drawing, name, attributes, kind = "rect") {
  let shape = drawing.querySelector(`.${name}`);
  if (!shape) {
    shape = document.createElementNS(SVG, kind);
    shape.setAttribute("class", name);
    drawing.appendChild(shape);
  }
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  return shape;
}
