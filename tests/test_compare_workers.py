"""The comparison of worker classes: reading reports, writing the table."""

from __future__ import annotations

from tests.compare_workers import read, table

REPORT = """<testsuites><testsuite>
<testcase name="a"><properties><property name="promise" value="one"/></properties></testcase>
<testcase name="b"><properties><property name="promise" value="two"/></properties><failure/></testcase>
<testcase name="c"><properties><property name="promise" value="one"/></properties><error/></testcase>
<testcase name="d"><properties><property name="promise" value="three"/></properties><skipped/></testcase>
<testcase name="e"><failure/></testcase>
</testsuite></testsuites>"""


def test_outcomes_by_promise() -> None:
    assert read(REPORT) == {"one": [True, False], "two": [False], "three": []}


def test_table() -> None:
    text = table({"asgi": read(REPORT), "site.Worker": {"one": [True, True], "four": [True]}})
    assert text.splitlines() == [
        "| promise | `-k asgi` | `site.Worker` |",
        "|---|---|---|",
        "| one | partly | yes |",
        "| two | **no** | – |",
        "| three | – | – |",
        "| four | – | yes |",
    ]
