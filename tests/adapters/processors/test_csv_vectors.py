"""Report files against RFC 4180, section 2, rule by rule, and the files of csv-spectrum."""

import pytest

from adapters.processors.report_files import rows
from commands.settlement_reports import ReportError

ABC = {"a": "1", "b": "2", "c": "3"}
READ = [
    ("a,b,c\r\n1,2,3\r\n", [ABC]),
    ("a,b,c\r\n1,2,3", [ABC]),
    ("a,b,c\n1,2,3\n", [ABC]),
    ("\ufeffa,b,c\r\n1,2,3\r\n", [ABC]),
    ('"a","b","c"\r\n"1","2","3"\r\n', [ABC]),
    ('a,b,c\r\n1,"2",3\r\n', [ABC]),
    ('a,b,c\r\n1,"x\r\ny",3\r\n', [{**ABC, "b": "x\r\ny"}]),
    ('a,b,c\r\n1,"x,y",3\r\n', [{**ABC, "b": "x,y"}]),
    ('a,b,c\r\n1,"x""y",3\r\n', [{**ABC, "b": 'x"y'}]),
    ('a,b,c\r\n1,"",3\r\n', [{**ABC, "b": ""}]),
    ("a,b,c\r\n1,,3\r\n", [{**ABC, "b": ""}]),
    ("a,b,c\r\n1, 2 ,3\r\n", [{**ABC, "b": " 2 "}]),
    ('a,b,c\n1,"{""type"": [1, 2]}",3\n', [{**ABC, "b": '{"type": [1, 2]}'}]),
    ("a,b,c\n1,2,ʤ\n1,2,\U0001f600\n", [{**ABC, "c": "ʤ"}, {**ABC, "c": "\U0001f600"}]),
    ("a,b,c\n1,=1+1,@x\n", [{"a": "1", "b": "=1+1", "c": "@x"}]),
]  # fmt: skip
REFUSED = [
    ("a,b,c\r\n1,2\r\n", 2),
    ("a,b,c\r\n1,2,3,\r\n", 2),
    ("a,b,c\r\n1,2,3\r\n\r\n1,2,3\r\n", 3),
    ('a,b,c\r\n1,"2,3\r\n', 2),
    ('a,b,c\r\n1,"2"x,3\r\n', 2),
    ("a,a,c\r\n1,2,3\r\n", 1),
    ("", 1),
    ("a;b;c\r\n1;2;3\r\n", 1),
]


@pytest.mark.parametrize(("text", "found"), READ)
def test_a_file_is_read_as_rfc_4180_writes_it(text: str, found: list[dict[str, str]]) -> None:
    assert [row for _, row in rows(text, ["a", "b", "c"])] == found


@pytest.mark.parametrize(("text", "line"), REFUSED)
def test_what_rfc_4180_does_not_write_is_refused_by_its_line(text: str, line: int) -> None:
    with pytest.raises(ReportError) as refused:
        list(rows(text, ["a", "b", "c"]))
    assert refused.value.line == line


def test_a_row_is_called_by_its_last_line() -> None:
    text = 'a,b,c\r\n1,"x\r\ny",3\r\n4,5,6\r\n'
    assert [line for line, _ in rows(text, ["a"])] == [3, 4]
