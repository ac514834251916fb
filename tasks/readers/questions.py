"""Reads questions on paragraphs in the formats of SQuAD: KorQuAD 1.0 and KLUE-MRC."""

from hclx.evaluate.items import Item
from hclx.tasks.readers.records import Record, json_object

OWN_SHOTS = 4  # the question-answer pairs before the asked question (Kim et al. 2021, section 4.2)
UNANSWERABLE = "대답 불가"  # how an answer says that the paragraph has none


def read_korquad(path: str) -> list[Item]:
    """Reads KorQuAD 1.0, such as KorQuAD_v1.0_dev.json.

    The shots of an item are the first four questions of its paragraph that are not answered by the
    same span as its own; all of them if the paragraph has fewer.
    """
    items = []
    for article in json_object(path).records("data"):
        title = article.text("title").replace("_", " ")
        for paragraph in article.records("paragraphs"):
            items += _with_shots(
                [_korquad_item(question, title, paragraph) for question in paragraph.records("qas")]
            )
    return items


def _korquad_item(question: Record, title: str, paragraph: Record) -> tuple[Item, set]:
    """Returns an item without shots, and the spans of its answers."""
    context = paragraph.text("context")
    spans = [_span(answer, context) for answer in question.records("answers")]
    if not spans:
        raise question.error("answers", "empty; an answer is expected")
    texts = tuple(dict.fromkeys(text for _, text in spans))
    fields = {"title": title, "context": context, "question": question.text("question")}
    return Item(question.text("id"), fields, texts[0], texts), set(spans)


def _with_shots(questions: list[tuple[Item, set]]) -> list[Item]:
    items = []
    for item, spans in questions:
        others = (other for other, theirs in questions if not theirs & spans)
        shots = tuple(other for other, _ in zip(others, range(OWN_SHOTS), strict=False))
        items.append(
            Item(item.id, item.fields, item.answer, item.answers, shots=shots, group=item.group)
        )
    return items


def read_klue_mrc(path: str) -> list[Item]:
    """Reads KLUE-MRC v1.1. The answer to a question that its paragraph does not answer is
    UNANSWERABLE, which is none of the accepted texts; `gold` tells it.
    """
    items = []
    for article in json_object(path).records("data"):
        for paragraph in article.records("paragraphs"):
            for question in paragraph.records("qas"):
                items.append(_mrc_item(question, article, paragraph.text("context")))
    return items


def _mrc_item(question: Record, article: Record, context: str) -> Item:
    is_impossible = question.flag("is_impossible")
    spans = [_span(answer, context) for answer in question.records("answers")]
    texts = () if is_impossible else tuple(dict.fromkeys(text for _, text in spans))
    if not texts and not is_impossible:
        raise question.error("answers", "empty, and is_impossible is false")
    return Item(
        question.text("guid"),
        {"title": article.text("title"), "context": context, "question": question.text("question")},
        UNANSWERABLE if is_impossible else texts[0],
        texts,
        gold={"is_impossible": is_impossible},
        group=str(question.whole("question_type", 1, 3)),
    )


def _span(answer: Record, context: str) -> tuple[int, str]:
    """Returns the first character of an answer in its paragraph, and its text."""
    return answer.whole("answer_start", 0, len(context) - 1), answer.text("text")
