"""Pages stand alone: well-formed, and nothing in them is fetched from elsewhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

FETCHING = ("src", "href", "srcset", "action", "data", "poster")


def check_page(path: Path) -> str:
    """The page's visible text, if it is as it should be."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    root = ET.fromstring(text.removeprefix("<!DOCTYPE html>").strip())
    assert root.tag == "html"
    names = [each.get("id") for each in root.iter() if each.get("id")]
    for each in root.iter():
        assert each.tag not in ("script", "link", "iframe", "img", "object", "embed"), each.tag
        for attribute, value in each.attrib.items():
            assert "://" not in value, (each.tag, attribute, value)
            if attribute.split("}")[-1] in FETCHING:
                assert value.startswith("#"), (each.tag, attribute, value)
                assert value[1:] in names
            assert not attribute.startswith("on")
    (style,) = root.iter("style")
    assert "url(" not in (style.text or "")
    assert "@import" not in (style.text or "")
    for reference in re.findall(r"url\(#([^)]+)\)", text):
        assert reference in names
    body = root.find("body")
    assert body is not None
    seen = " ".join(" ".join(body.itertext()).split())
    assert "nan" not in re.findall(r"\w+", seen)
    assert "None" not in re.findall(r"\w+", seen)
    return seen
