"""The worst answers and the scores of every phrase as one web page that needs no other file."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import PurePath
from string import Template

from sam3_edge.training.evaluation.pictures import JudgedPictures
from sam3_edge.training.evaluation.report import Report, coco_to_json
from sam3_edge.training.evaluation.report_tables import share, summary_lines
from sam3_edge.training.evaluation.worst_cases import BADNESS, Case, phrase_thresholds
from sam3_edge.training.evaluation.worst_cases_drawing import draw_case, encode_jpeg

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1500px;
       padding: 0 1rem; color: #1b1b1b; background: #fafafa; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.cases { display: grid; gap: 1.2rem; align-items: start;
         grid-template-columns: repeat(auto-fill, minmax(min(420px, 100%), 1fr)); }
figure { margin: 0; background: #fff; border: 1px solid #ddd; padding: .6rem; }
img { width: 100%; height: auto; display: block; }
figcaption { margin-top: .5rem; overflow-wrap: anywhere; }
.path { color: #666; font-size: .85rem; }
.key { padding: 0 .4rem; border-radius: .2rem; }
.true { background: #009e73; } .right { background: #56b4e9; }
.missed { background: #f0e442; } .wrong { background: #d55e00; } .ignored { background: #a0a0a0; }
</style>
</head>
<body>
<h1>$title</h1>
$summary
<div class="wide">$means</div>
<h2>Phrases</h2>
<div class="wide">$phrases</div>
<h2>The worst $count of $pairs answers</h2>
<p>$badness</p>
<p><span class="key true">true</span> <span class="key right">found, with its score</span>
<span class="key missed">missed</span> <span class="key wrong">false, with its score</span>
<span class="key ignored">true, not judged</span>$tints</p>
<div class="cases">
$cases
</div>
</body>
</html>
""")

_CASE = Template("""<figure>
<img src="data:image/jpeg;base64,$data" width="$width" height="$height" alt="$alt">
<figcaption><strong>$phrase</strong>: $missed missed, $wrong false, $right found;
badness $badness, presence $presence, threshold $threshold<br>
<span class="path">$path</span></figcaption>
</figure>""")


def worst_cases_page(
    report: Report, cases: Sequence[Case], pictures: JudgedPictures, num_pairs: int
) -> str:
    """HTML. num_pairs: answers there were. Pictures are read again: DatasetError."""
    tints = ""
    if report.masks is not None:
        tints = "; masks of what was found are tinted, true ones outlined"
    return _PAGE.substitute(
        title=escape(f"{report.model} on {report.source}"),
        summary="\n".join(f"<p>{escape(line)}</p>" for line in summary_lines(report)),
        means=_mean_table(report),
        phrases=_phrase_table(report),
        count=len(cases),
        pairs=num_pairs,
        badness=escape(BADNESS),
        tints=tints,
        cases="\n".join(_case(case, pictures) for case in cases),
    )


def _case(case: Case, pictures: JudgedPictures) -> str:
    answer = case.answer
    drawn = draw_case(pictures.picture(answer.picture).image, case)
    height, width = drawn.shape[:2]
    return _CASE.substitute(
        data=base64.b64encode(encode_jpeg(drawn)).decode("ascii"),
        width=width,
        height=height,
        alt=escape(f"{answer.phrase} in {PurePath(answer.path).name}"),
        phrase=escape(answer.phrase),
        missed=len(case.missed),
        wrong=len(case.wrong),
        right=len(case.right),
        badness=f"{case.badness:.2f}",
        presence=f"{answer.presence:.2f}",
        threshold=f"{case.threshold:.2f}",
        path=escape(PurePath(answer.path).name),
    )


def _mean_table(report: Report) -> str:
    rows = [["boxes", *map(share, coco_to_json(report.boxes.mean).values())]]
    if report.masks is not None:
        rows.append(["masks", *map(share, coco_to_json(report.masks.mean).values())])
    return _table(["mean", *coco_to_json(report.boxes.mean)], rows)


def _phrase_table(report: Report) -> str:
    head = ["phrase", "objects", "AP", "AP50", "mask AP", "mask AP50", "threshold",
            "present", "absent", "presence accuracy", "pmF1", "IL_MCC", "cgF1"]  # fmt: skip
    thresholds, rows = phrase_thresholds(report), []
    for text, one in report.phrases.items():
        boxes, masks = one.boxes.scores, None if one.masks is None else one.masks.scores
        shares = [boxes.ap, boxes.ap50]
        shares += [None, None] if masks is None else [masks.ap, masks.ap50]
        shares += [thresholds[text]]
        pairs = [str(one.presence.positives), str(one.presence.negatives)]
        last = [one.presence.balanced_accuracy, one.concept.pmf1, one.presence.il_mcc]
        ends = [*last, one.concept.cgf1]
        rows.append([text, str(one.boxes.objects), *map(share, shares), *pairs, *map(share, ends)])
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_row("th", head), *(_row("td", row) for row in rows)]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _row(cell: str, values: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(value)}</{cell}>" for value in values) + "</tr>"
