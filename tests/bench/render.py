"""Raw samples to one page of tables, and to a chart."""

from __future__ import annotations

import dataclasses
import json
import statistics
from html import escape
from typing import Any, Iterable, Optional, Sequence

NOISE_MOST_PCT = 15
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"  # in README.md
TITLES = {"direct": "direct", "haproxy": "HAProxy", "nginx": "nginx", "wskeepd": "wskeepd"}
COLOURS = {"direct": "#9aa0a6", "haproxy": "#4c78a8", "nginx": "#59a14f", "wskeepd": "#d9480f"}


@dataclasses.dataclass(frozen=True)
class Row:
    case: str
    work: str
    what: str
    key: str
    is_less_better: bool = True
    scale: float = 1


def _echo_rows() -> Iterable[Row]:
    works = {
        "c1s64": "1 x 1, 64 B",
        "c64s64": "64 x 16, 64 B",
        "c64s1k": "64 x 16, 1 KiB",
        "c16s64k": "16 x 8, 64 KiB",
        "c4s1m": "4 x 2, 1 MiB",
        "c1s16m": "1 x 1, 16 MiB",
        "wss1k": "TLS upstream, 64 x 16, 1 KiB",
        "wss64k": "TLS upstream, 16 x 8, 64 KiB",
    }
    for case, work in works.items():
        yield Row(case, work, "CPU us/message", "watch_cpu_us_per_msg")
        yield Row(case, work, "messages/s", "msgs_per_s", False)


ROWS = [
    *_echo_rows(),
    Row("rate", "2,000 messages/s, 64 x 1, 128 B", "p50 us", "lat_p50_us"),
    Row("rate", "2,000 messages/s, 64 x 1, 128 B", "p99 us", "lat_p99_us"),
    Row("rate", "2,000 messages/s, 64 x 1, 128 B", "CPU us/message", "watch_cpu_us_per_msg"),
    Row("idle2k", "2,000 idle pairs", "B/pair", "watch_rss_per_conn_b"),
    Row("idlemax", "{opened} idle pairs", "B/pair", "watch_rss_per_conn_b"),
    Row("idlemax", "{opened} idle pairs", "opened/s", "connects_per_s", False),
    Row("growth", "resident, 2,000 idle pairs", "MiB", "watch_rss_before_kb", True, 1 / 1024),
    Row("growth", "the same, at most in a burst", "MiB", "watch_rss_peak_kb", True, 1 / 1024),
    Row("growth", "the same, {linger_s} s after it", "MiB", "watch_rss_after_kb", True, 1 / 1024),
]
SIZES = (("size64", "64 B"), ("size1k", "1 KiB"), ("size16k", "16 KiB"), ("size64k", "64 KiB"),
         ("size1m", "1 MiB"), ("size16m", "16 MiB"))
WAITING = (("depth10", "10"), ("depth1k", "1,000"), ("depth100k", "100,000"))
SERIES = [
    ("8 busy connections beside idle ones (CPU us/message)", "watch_cpu_us_per_msg",
     (("beside1", "1"), ("beside100", "100"), ("beside1k", "1,000"), ("besidemax", "{idle}"))),
    ("messages of growing size, 2 connections, 1 in flight (CPU us/message)",
     "watch_cpu_us_per_msg", SIZES),
    ("taking one more message while so many wait (CPU us/message)", "push_us",
     WAITING),
    ("repeating so many, the opening of their connection included (CPU us/message)", "replay_us",
     WAITING),
]
DEFLATE = (("deflate256t", "256 B, Node's threshold (1,024)"), ("deflate256", "256 B"),
           ("deflate1024", "1 KiB"), ("deflate16384", "16 KiB"))


def dump(results: dict[str, Any]) -> str:
    """One sample a line."""
    head = {key: value for key, value in results.items() if key != "samples"}
    samples = ",\n".join("  " + json.dumps(sample) for sample in results["samples"])
    return json.dumps(head, indent=1)[:-2] + ',\n "samples": [\n' + samples + "\n ]\n}\n"


def in_short(sample: dict[str, Any]) -> str:
    if "failed" in sample:
        return f"FAILED: {sample['failed']}"
    shown = ("watch_cpu_us_per_msg", "msgs_per_s", "lat_p99_us", "watch_rss_per_conn_b",
             "connects_per_s", "watch_rss_peak_kb", "push_us", "replay_us", "ms", "trips", "tenths",
             "replay_per_s", "plain_per_s", "thread_shares_pct")
    words = [f"{key} {sample[key]}" for key in shown if sample.get(key) is not None]
    return ", ".join(words[:4])


class Medians:
    """Of the samples without loud neighbours, where there are any."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.of: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.failed: list[dict[str, Any]] = []
        self.left_out = 0
        for sample in results["samples"]:
            if "failed" in sample:
                self.failed.append(sample)
            else:
                self.of.setdefault((sample["case"], sample["name"]), []).append(sample)
        for key, samples in self.of.items():
            clean = [sample for sample in samples if _foreign(sample) <= NOISE_MOST_PCT]
            if clean:
                self.left_out += len(samples) - len(clean)
                self.of[key] = clean

    def value(self, case: str, name: str, key: str) -> Optional[float]:
        found = [sample[key] for sample in self.of.get((case, name), []) if sample.get(key) is not None]
        return statistics.median(found) if found else None

    def middle(self, case: str, name: str, key: str) -> Optional[dict[str, Any]]:
        """The whole sample whose value is the middle one."""
        samples = sorted(self.of.get((case, name), []), key=lambda sample: sample[key])
        return samples[(len(samples) - 1) // 2] if samples else None

    def names(self) -> list[str]:
        return [name for name in TITLES if any(name == other for _, other in self.of)]

    def any_of(self, case: str, key: str) -> str:
        for name in TITLES:
            value = self.value(case, name, key)
            if value is not None:
                return f"{value:,.0f}"
        return "?"


def _foreign(sample: dict[str, Any]) -> float:
    return sample.get("foreign_cpu_pct", sample.get("noise_pct", 0))


def number(value: Optional[float]) -> str:
    """Three digits that count."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> list[str]:
    lines = ["| " + " | ".join(head) + " |"]
    lines += ["|" + "|".join(["---"] * left + ["--:"] * (len(head) - left)) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _work(row: Row, medians: Medians) -> str:
    return row.work.format(
        opened=medians.any_of(row.case, "opened"), linger_s=medians.any_of(row.case, "linger_s")
    )


def _base(names: Sequence[str]) -> Optional[str]:
    """What the others are divided by."""
    return next((name for name in ("haproxy", "direct") if name in names), None)


def _compared(medians: Medians) -> list[str]:
    names = medians.names()
    base = _base(names)
    head = ["work", "measured"] + [TITLES[name] for name in names]
    compares = "wskeepd" in names and base
    if base and compares:
        head.append(f"wskeepd / {TITLES[base]}")
    rows = []
    for row in ROWS:
        values = [medians.value(row.case, name, row.key) for name in names]
        if not any(value is not None for value in values):
            continue
        cells = [number(value * row.scale if value is not None else None) for value in values]
        line = [_work(row, medians), row.what] + cells
        if base and compares:
            ours, theirs = values[names.index("wskeepd")], values[names.index(base)]
            line.append(f"{ours / theirs:.2f}" if ours is not None and theirs else "-")
        rows.append(line)
    return _markdown(head, rows, 2) if rows else []


def _series(medians: Medians) -> list[str]:
    lines: list[str] = []
    for title, key, points in SERIES:
        may_grow = points == SIZES
        points = [
            (case, text.format(idle=medians.any_of(case, "idle")))
            for case, text in points
            if any(medians.value(case, name, key) is not None for name in TITLES)
        ]
        if not points:
            continue
        names = [name for name in TITLES if medians.value(points[0][0], name, key) is not None]
        rows = []
        for name in names:
            values = [medians.value(case, name, key) for case, _ in points]
            first, last = values[0], values[-1]
            rows.append([TITLES[name], *map(number, values)])
            if may_grow:
                continue
            rows[-1].append(f"{last / first:.2f}" if first and last is not None else "-")
        head = ["", *(text for _, text in points), *([] if may_grow else ["last / first"])]
        lines += ["", title[0].upper() + title[1:] + ":", "", *_markdown(head, rows, 1)]
    return lines


def _deflate(medians: Medians) -> list[str]:
    rows = []
    for case, text in DEFLATE:
        node = medians.value(case, "node", "watch_cpu_us_per_msg")
        ours = medians.value(case, "wskeepd", "watch_cpu_us_per_msg")
        if ours is not None:
            ratio = f"{ours / node:.2f}" if node else "-"
            rows.append([text, number(node), number(ours), ratio])
    head = ["message", "Node's ws, echo", "wskeepd, relay", "ratio"]
    return _markdown(head, rows, 1) if rows else []


def _trips(medians: Medians) -> list[str]:
    rows = []
    for delay_ms in (0, 20, 100):
        for scheme in ("ws", "wss"):
            middle = medians.middle(f"trips{delay_ms}{scheme}", "wskeepd", "ms")
            if middle:
                resumed = f"{middle['resumed']} of {middle['sessions']}" if scheme == "wss" else "-"
                rows.append([scheme, f"{delay_ms} ms", number(middle["ms"]), number(middle["trips"]),
                             str(middle["trips_needed"]), number(middle["own_ms"]),
                             number(middle["dialled_ms"]), resumed])
    head = ["link", "each way", "ms", "round trips", "needed", "ms besides", "of these before dialling",
            "TLS resumed"]
    return _markdown(head, rows, 1) if rows else []


def _prose(medians: Medians) -> list[str]:
    lines = []
    for jitter in ("none", "full"):
        storm = medians.middle(f"storm{jitter}", "wskeepd", "ms")
        if storm:
            text = (
                f"- {storm['sessions']:,} sessions cut at once, `jitter: {jitter}`, `initial_delay: "
                f"{storm['window_ms']}ms`: all open again after {storm['ms']:,.0f} ms, by "
                f"{storm['attempts']:,} connections, {storm['cpu_us_per_session']:.0f} us of CPU each"
            )
            if jitter == "full":
                text += f"; dialled in each tenth of that time: {_tenths(storm)}"
            lines.append(text + ".")
    replay = medians.middle("replay", "wskeepd", "replay_per_s")
    if replay:
        lines.append(
            f"- {replay['messages']:,} messages of 64 B waiting at a break ({replay['exposed']:,} of "
            f"them sent before it): repeated at {replay['replay_per_s']:,} a second for "
            f"{replay['replay_cpu_us']:.2f} us of CPU each; sent without a break: "
            f"{replay['plain_per_s']:,} a second, {replay['plain_cpu_us']:.2f} us."
        )
    for count in (1, 2):
        workers = medians.middle(f"workers{count}", "wskeepd", "watch_cpu_us_per_msg")
        if workers:
            shares = ", ".join(f"{share:.0f} %" for share in workers["thread_shares_pct"])
            lines.append(
                f"- `workers: {count}`, 64 x 16, 64 B: {number(workers['watch_cpu_us_per_msg'])} us of "
                f"CPU for a message, {number(workers['msgs_per_s'])} messages/s; of its threads' time: "
                f"{shares}."
            )
    return lines


def _tenths(storm: dict[str, Any]) -> str:
    later = f", later {storm['tenths'][10]}" if storm["tenths"][10] else ""
    return " ".join(map(str, storm["tenths"][:10])) + later


def _rounds(results: dict[str, Any]) -> str:
    seconds = f"{results['seconds']:g} s"
    if results["rounds"] == 1:
        return f"one round of {seconds}"
    return f"medians of {results['rounds']} rounds of {seconds}, the order turning"


def _about(results: dict[str, Any], medians: Medians) -> list[str]:
    place = results["machine"]
    samples = [sample for sample in results["samples"] if "failed" not in sample]
    foreign = [_foreign(sample) for sample in samples] or [0]
    versions = ", ".join(results["versions"].values())
    pinned = "load and echo on one of them, the proxy on another" if place["pinned"] else "not pinned"
    lines = [
        f"`{results['command']}`, {results['made']}: {_rounds(results)}. "
        f"{place['processor']}, {place['processors']} "
        f"processors, {pinned}; {place['kernel']}. {versions}.",
        f"Others used {statistics.median(foreign):.0f} % of the machine meanwhile (median; at most "
        f"{max(foreign):.0f} %); {medians.left_out} of {len(samples)} samples with more than "
        f"{NOISE_MOST_PCT} % were left out.",
    ]
    lines += [f"Left out: {reason}." for reason in results["left_out"]]
    lines += [f"FAILED: {sample['case']} {sample['name']}, round {sample['round']}: "
              f"{sample['failed']}." for sample in medians.failed]
    return lines


def _page(parts: Iterable[tuple[str, list[str]]]) -> str:
    page = []
    for title, lines in parts:
        if lines:
            page += ([f"### {title}", ""] if title else []) + lines + [""]
    text = "\n".join(page)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def table(results: dict[str, Any]) -> str:
    medians = Medians(results)
    return _page([
        ("", _about(results, medians)),
        ("Compared (`64 x 16`: connections x messages in flight; `direct`: the echo itself, nothing "
         "between)", _compared(medians)),
        ("Cost as the work grows", _series(medians)),
        ("permessage-deflate upstream (CPU us/message)", _deflate(medians)),
        ("From a reset of the upstream link to the first repeated byte at the server",
         _trips(medians)),
        ("Many at once", _prose(medians)),
    ])


def summary(results: dict[str, Any]) -> str:
    """What the README shows beside the chart."""
    medians = Medians(results)
    return _page([("", _about(results, medians)), ("", _compared(medians))])


# ---- the chart

WIDTH, LEFT, RIGHT, BAR, GAP = 930, 340, 130, 11, 9
CAP = 2.5  # a bar of more is cut off
UNIT = (WIDTH - LEFT - RIGHT) / CAP


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{escape(words)}</text>'


class Drawing:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.y = 0.0

    def heading(self, words: str, below: str) -> None:
        self.y += 30
        self.parts.append(_text(16, self.y, words, 'class="h"'))
        self.y += 17
        self.parts.append(_text(16, self.y, below, 'class="s"'))
        self.y += 10

    def _group(self, label: str, bars: Sequence[tuple[str, float, str]]) -> None:
        """bars: colour, ratio, what stands behind it."""
        top = self.y
        for colour, ratio, words in bars:
            length = max(min(ratio, CAP) * UNIT, 1)
            self.parts.append(
                f'<rect x="{LEFT}" y="{self.y:.0f}" width="{length:.1f}" height="{BAR - 1}" '
                f'fill="{colour}"/>'
            )
            beyond = " (cut off)" if ratio > CAP else ""
            self.parts.append(_text(LEFT + length + 4, self.y + BAR - 2, words + beyond, 'class="v"'))
            self.y += BAR
        middle = (top + self.y) / 2 + 4
        self.parts.append(_text(LEFT - 8, middle, label, 'text-anchor="end"'))
        self.y += GAP

    def groups(self, groups: Sequence[tuple[str, Sequence[tuple[str, float, str]]]]) -> None:
        """With a line at 1 behind them."""
        top, place = self.y, len(self.parts)
        for label, bars in groups:
            self._group(label, bars)
        x = LEFT + UNIT
        self.parts.insert(
            place,
            f'<line x1="{x:.0f}" y1="{top - 2:.0f}" x2="{x:.0f}" y2="{self.y - GAP + 3:.0f}" '
            'stroke="#bbb" stroke-dasharray="3 3"/>',
        )

    def svg(self, title: str, description: str) -> str:
        height = self.y + 16
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            'role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            "<style>text{font:12px sans-serif;fill:#222}.h{font-size:15px;font-weight:bold}"
            ".s{font-size:12px;fill:#555}.v{font-size:10px;fill:#333}</style>",
            f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fbfbf9"/>',
            *self.parts,
            "</svg>",
            "",
        ])


def _legend(drawing: Drawing, names: Sequence[str]) -> None:
    drawing.y += 20
    for place, name in enumerate(names):
        x = 16 + 110 * place
        drawing.parts.append(
            f'<rect x="{x}" y="{drawing.y - 10:.0f}" width="12" height="12" fill="{COLOURS[name]}"/>'
        )
        drawing.parts.append(_text(x + 18, drawing.y, TITLES[name]))
    drawing.y += 4


def _panel(drawing: Drawing, medians: Medians, is_less_better: bool) -> None:
    names = medians.names()
    base = _base(names)
    groups = []
    for row in ROWS:
        if row.is_less_better != is_less_better or not base:
            continue
        one = medians.value(row.case, base, row.key)
        bars = [
            (COLOURS[name], value / one, f"{number(value * row.scale)} ({value / one:.2f})")
            for name in names
            if one and (value := medians.value(row.case, name, row.key)) is not None
        ]
        if bars:
            groups.append((f"{_work(row, medians)}: {row.what}", bars))
    if not groups or not base:
        return
    drawing.heading(
        "Cost: less is better" if is_less_better else "Rate: more is better",
        f"relative to {TITLES[base]} (the dashed line); the measured value stands behind each bar",
    )
    drawing.groups(groups)


def _growth_panel(drawing: Drawing, medians: Medians) -> None:
    """How wskeepd's cost of a message changes; sizes are left out: those should cost more."""
    groups = []
    for label, number_of in (("idle connections beside 8 busy", 0), ("waiting: to take one more", 2),
                             ("waiting: to repeat them all", 3)):
        _, key, points = SERIES[number_of]
        values = [(text.format(idle=medians.any_of(case, "idle")), medians.value(case, "wskeepd", key))
                  for case, text in points]
        present = [(text, value) for text, value in values if value is not None]
        if len(present) > 1:
            first = present[0][1]
            groups.append((label, [(COLOURS["wskeepd"], value / first, f"{text}: {number(value)} us")
                                   for text, value in present]))
    if not groups:
        return
    drawing.heading("wskeepd's CPU for a message as the work grows: it must not",
                    "relative to the first of each group (the dashed line)")
    drawing.groups(groups)


def chart(results: dict[str, Any]) -> str:
    medians = Medians(results)
    drawing = Drawing()
    _legend(drawing, medians.names())
    for is_less_better in (True, False):
        _panel(drawing, medians, is_less_better)
    _growth_panel(drawing, medians)
    description = (
        f"Bars of what {', '.join(TITLES[name] for name in medians.names())} need for the same work, "
        f"from {results['command']}, {results['made']}; the same numbers are in the table."
    )
    return drawing.svg("What wskeepd costs, compared", description)
