from textgen.text.report import Report


def test_a_report_by_hand() -> None:
    text = "to be or\nnot to be: Żółw\n\nto end"
    for size in (1, 3, 100):
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        report = Report().read(chunks)
        assert (report.characters, report.newlines, report.longest_line) == (32, 3, 15)
        assert report.num_bytes == 32 + 3
        assert report.foreign == 3
        assert report.curve == [(9, 7)]
    assert "9.38% of the characters" in report.lines()[1]


def test_the_curve_has_a_point_at_each_power_of_ten() -> None:
    report = Report().read(f"{number} the " for number in range(6_000))
    assert report.curve == [(1_000, 501), (10_000, 5_001), (12_000, 6_001)]
