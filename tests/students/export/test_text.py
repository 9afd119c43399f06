from tests.students import stored

from whence.students.export.text import as_markdown, fenced, inline


def test_the_whole_student_with_its_labels_and_cost():
    for kind in stored.STUDENTS:
        student = stored.fitted(kind)
        text = as_markdown(student, name=f"{kind} & more")
        cost = student.reading_cost
        assert text.startswith(f"# {kind} & more\n")
        assert f"To read: {cost.words:,} words and {cost.numbers:,} numbers." in text
        assert "Labels: `accept`, `reject`." in text
        assert f"```text\n{student.to_text()}\n```\n" in text


def test_a_fence_that_the_text_does_not_close():
    assert fenced("a\n```\nb") == "````text\na\n```\nb\n````"
    assert inline("``") == "``` `` ```"
    assert inline("") == "`  `"
