"""The deck in Chromium: what is wrong on each slide, and contact sheets to look at.

`python tests/deck_pages.py [PAGE.html]` writes build/sheets/NN.png, six slides a sheet.
"""

import io
import sys
from pathlib import Path

from browser import chromium, watch

from tools import BUILD, ROOT

WIDTH_PX, HEIGHT_PX, SMALLEST_PX = 1280, 720, 24
# Shown text, pictures' text, and boxes of one slide. matplotlib draws a text as paths scaled by
# size / 100 in points, and writes the text as a comment before them.
LOOK = r"""
async (smallest) => {
  const slide = document.querySelector("svg.bespoke-marp-active section");
  const wrong = [], frame = slide.getBoundingClientRect();
  const say = (what, node) => {
    wrong.push(`${what}: ${(node.textContent || node.alt || "").trim().slice(0, 60)}`);
  };
  const shown = [...slide.querySelectorAll("*")];
  for (const node of [slide, ...shown]) {
    if (node.scrollWidth > node.clientWidth + 1 && node.clientWidth) say("too wide", node);
    if (node.scrollHeight > node.clientHeight + 2 && node.clientHeight) say("too high", node);
    const box = node.getBoundingClientRect();
    const isOut = box.right > frame.right - 20 || box.bottom > frame.bottom - 12;
    if (node !== slide && (isOut || box.left < 20 || box.top < 12)) say("at the edge", node);
  }
  const texts = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const size = parseFloat(getComputedStyle(texts.currentNode.parentElement).fontSize);
    if (!texts.currentNode.data.trim()) continue;
    if (size < smallest) say(`${size} px`, texts.currentNode);
    const ratio = contrast(texts.currentNode.parentElement);
    if (ratio < 4.5) say(`contrast ${ratio.toFixed(2)}`, texts.currentNode);
  }
  const number = parseFloat(getComputedStyle(slide, "::after").fontSize);
  if (number < smallest) say(`${number} px in the page number`, slide);
  const boxes = [...slide.children].map(node => node.getBoundingClientRect());
  boxes.forEach((box, at) => {
    if (at && box.top < boxes[at - 1].bottom - 1) say("overlaps", slide.children[at]);
  });
  for (const image of slide.querySelectorAll("img")) {
    if (!image.src.startsWith("data:image/svg+xml;base64,")) {
      say("a picture that is not inside", image);
      continue;
    }
    await image.decode();
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    const scale = Math.min(image.clientWidth / width, image.clientHeight / height);
    const text = new TextDecoder().decode(
      Uint8Array.from(atob(image.src.split(",")[1]), (letter) => letter.charCodeAt(0))
    );
    const svg = new DOMParser().parseFromString(text, "image/svg+xml");
    const box = svg.documentElement.getAttribute("viewBox").split(" ");
    const unit = scale * width / parseFloat(box[2]);
    for (const group of svg.querySelectorAll("g[transform*='scale('], text, tspan")) {
      const factor = /scale\((-?[\d.]+)/.exec(group.getAttribute("transform") || "");
      const size = group.localName === "g"
        ? 100 * Math.abs(parseFloat(factor[1])) * unit
        : parseFloat(group.getAttribute("font-size") || getSize(group)) * unit;
      if (size < smallest - 0.5) {
        say(`${size.toFixed(1)} px in the picture`, image);
        break;
      }
    }
  }
  return wrong;
  function contrast(node) {  // WCAG 2.2, "contrast ratio"
    const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = (colour) => {
      const linear = parts(colour).slice(0, 3).map((part) => part / 255).map(
        (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
      );
      return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    let paper = "rgb(255, 255, 255)";
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (parts(colour)[3] !== 0) { paper = colour; break; }
    }
    const both = [light(getComputedStyle(node).color), light(paper)];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  }
  function getSize(node) {
    for (let at = node; at && at.getAttribute; at = at.parentNode) {
      const found = /font(?:-size)?:[^;]*?([\d.]+)px/.exec(at.getAttribute("style") || "");
      if (found) return found[1];
      if (at.getAttribute("font-size")) return at.getAttribute("font-size");
    }
    return 16;
  }
}
"""


def slides(browser, path: Path, with_pictures: bool = False):
    """Yields for each slide: its number, what is wrong on it, and a PNG of it if asked.

    The last has number 0, and what the page did that it must not: errors, requests.
    """
    page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
    page.set_default_timeout(120_000)  # a busy machine
    wrong = watch(page)
    page.on("request", lambda one: _only(path, one.url, wrong))
    page.goto(path.as_uri())
    page.evaluate("document.fonts.ready")
    page.add_style_tag(content=".bespoke-marp-osc { display: none !important }")
    count = page.locator("svg[data-marpit-svg]").count()
    for number in range(1, count + 1):
        page.evaluate("(number) => { location.hash = number }", number)
        place = f"svg.bespoke-marp-active section[data-marpit-pagination='{number}']"
        page.locator(place).wait_for()
        picture = page.screenshot() if with_pictures else b""
        yield number, page.evaluate(LOOK, SMALLEST_PX), picture
    page.close()
    yield 0, wrong, b""


def _only(path: Path, url: str, wrong: list[str]) -> None:
    """Notes a request for anything but the file itself and what stands inside it."""
    if not url.startswith(("data:", "blob:", path.as_uri())):
        wrong.append(f"asked for {url}")


def main(names: list[str]) -> None:
    from PIL import Image

    path = Path(names[0]).resolve() if names else ROOT / "slides" / "deck.html"
    folder = BUILD / "sheets"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    pages = []
    with chromium() as browser:
        for number, wrong, png in slides(browser, path, with_pictures=True):
            for fault in wrong:
                print(f"slide {number}: {fault}")
            if png:
                small = Image.open(io.BytesIO(png)).resize((WIDTH_PX * 5 // 8, HEIGHT_PX * 5 // 8))
                pages.append(small)
    width, height = pages[0].size
    for start in range(0, len(pages), 6):
        sheet = Image.new("RGB", (2 * width + 12, 3 * height + 24), "#888888")
        for at, picture in enumerate(pages[start : start + 6]):
            sheet.paste(picture, (at % 2 * (width + 12), at // 2 * (height + 12)))
        sheet.save(folder / f"{start + 1:03}.png")
    print(f"{len(pages)} slides in {folder}")


if __name__ == "__main__":
    main(sys.argv[1:])
