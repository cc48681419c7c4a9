"""What in a text is quoted and what is signature."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrt.mail.quote import blocks


def kinds(body: str) -> list[tuple[str, str]]:
    assert "".join(text for _, text in blocks(body)) == body
    return [(kind, text.strip()) for kind, text in blocks(body)]


def test_plain_text_is_one_block() -> None:
    assert blocks("Hello\n\nthere\n") == [("text", "Hello\n\nthere\n")]
    assert blocks("") == []


def test_answer_above_a_quotation() -> None:
    body = "Yes, gladly.\n\nOn Mon, 1 Jan 2024 at 10:00, Jo <jo@example.org> wrote:\n\n> Will you?\n>\n> Jo\n"
    assert kinds(body)[0] == ("text", "Yes, gladly.")
    assert [kind for kind, _ in kinds(body)] == ["text", "quote"]


def test_answers_between_quotations() -> None:
    body = "> one?\n\nYes.\n\n> two?\nNo.\n\n-- \nMe\n"
    assert kinds(body) == [
        ("quote", "> one?"),
        ("text", "Yes."),
        ("quote", "> two?"),
        ("text", "No."),
        ("signature", "-- \nMe"),
    ]


def test_signature_before_a_quotation() -> None:
    body = "Yes.\n-- \nMe\n\nOn 1 Jan 2024 10:00, a@b.example wrote:\n> Will you?\n"
    assert [kind for kind, _ in kinds(body)] == ["text", "signature", "quote"]


@pytest.mark.parametrize(
    "line",
    [
        "On Mon, Jan 1, 2024 at 10:00 AM Jo Doe <jo@example.org> wrote:",
        "On Mon, Jan 1, 2024 at 10:00 AM Jo Doe <\njo@example.org> wrote:",
        "On Mon, Jan 1, 2024 at 10:00 AM A Very Long Name\n<jo@example.org>\nwrote:",
        "Jo Doe <jo@example.org> writes:",
        "Am 01.01.2024 um 10:00 schrieb Jo Doe <jo@example.org>:",
        "Jo Doe <jo@example.org> schrieb am Mo., 1. Jan. 2024 um 10:00 Uhr:",
        "Le lun. 1 janv. 2024 à 10:00, Jo Doe <jo@example.org> a écrit :",
        "El lun, 1 ene 2024 a las 10:00, Jo Doe (<jo@example.org>) escribió:",
        "Il giorno lun 1 gen 2024 alle ore 10:00 Jo Doe <jo@example.org> ha scritto:",
        "Op ma 1 jan 2024 om 10:00 schreef Jo Doe <jo@example.org>:",
        "Em seg., 1 de jan. de 2024 às 10:00, Jo Doe <jo@example.org> escreveu:",
        "pon., 1 sty 2024 o 10:00 Jo Doe <jo@example.org> napisał(a):",
        "Den mån 1 jan. 2024 kl 10:00 skrev Jo Doe <jo@example.org>:",
        "man. 1. jan. 2024 kl. 10:00 skrev Jo Doe <jo@example.org>:",
        "ma 1. tammik. 2024 klo 10.00 Jo Doe (jo@example.org) kirjoitti:",
        "po 1. 1. 2024 v 10:00 odesílatel Jo Doe <jo@example.org> napsal:",
        "пн, 1 янв. 2024 г. в 10:00, Jo Doe <jo@example.org>:",
        "1 января 2024 г., в 10:00, Jo Doe <jo@example.org> написал(а):",
        "2024年1月1日(月) 10:00 Jo Doe <jo@example.org>のメール:",
        "Jo Doe <jo@example.org> 于2024年1月1日周一 10:00写道：",
        "2024년 1월 1일 (월) 오전 10:00, Jo Doe <jo@example.org>님이 작성:",
        "2024-01-01 10:00 GMT+01:00 Jo Doe <jo@example.org>:",
    ],
)
def test_line_before_a_quotation(line: str) -> None:
    assert kinds(f"Answer.\n\n{line}\n\n> Question\n")[0] == ("text", "Answer.")
    assert len(kinds(f"Answer.\n\n{line}\n\n> Question\n")) == 2


@pytest.mark.parametrize(
    "header",
    [
        "From: Jo <jo@example.org>\nSent: Monday\nTo: desk\nSubject: Hello",
        "*From:* Jo <jo@example.org>\n*Sent:* Monday\n*To:* desk\n*Subject:* Hello",
        "________________________________\nFrom: Jo <jo@example.org>\nSent: Monday\nTo: desk\nSubject: Hello",
        "________________________________\n\nVon: Jo\nGesendet: Montag\nAn: desk\nBetreff: Hallo",
        "De : Jo\nEnvoyé : lundi\nÀ : desk\nObjet : Bonjour",
        "De: Jo\nEnviado el: lunes\nPara: desk\nAsunto: Hola",
        "Da: Jo\nInviato: lunedì\nA: desk\nOggetto: Ciao",
        "Van: Jo\nVerzonden: maandag\nAan: desk\nOnderwerp: Hallo",
        "De: Jo\nEnviada em: segunda\nPara: desk\nAssunto: Olá",
        "Od: Jo\nWysłano: poniedziałek\nDo: desk\nTemat: Witam",
        "Från: Jo\nSkickat: måndag\nTill: desk\nÄmne: Hej",
        "Fra: Jo\nSendt: mandag\nTil: desk\nEmne: Hei",
        "Lähettäjä: Jo\nLähetetty: maanantai\nVastaanottaja: desk\nAihe: Hei",
        "Od: Jo\nOdesláno: pondělí\nKomu: desk\nPředmět: Ahoj",
        "От: Jo\nОтправлено: понедельник\nКому: desk\nТема: Привет",
        "差出人: Jo\n送信日時: 月曜日\n宛先: desk\n件名: こんにちは",
        "发件人: Jo\n发送时间: 星期一\n收件人: desk\n主题: 你好",
        "보낸 사람: Jo\n보낸 날짜: 월요일\n받는 사람: desk\n제목: 안녕",
        "-----Original Message-----\nFrom: Jo",
        "-----Ursprüngliche Nachricht-----\nVon: Jo",
        "---------- Forwarded message ---------\nFrom: Jo",
        "Begin forwarded message:\n\nFrom: Jo",
    ],
)
def test_everything_below_the_header_of_an_earlier_mail(header: str) -> None:
    assert kinds(f"Answer.\n\n{header}\n\nQuestion\n\n-- \nJo\n")[0] == ("text", "Answer.")
    assert [kind for kind, _ in kinds(f"Answer.\n\n{header}\n\nQuestion\n\n-- \nJo\n")] == ["text", "quote"]


@pytest.mark.parametrize(
    "body",
    [
        "---------- Forwarded message ---------\nFrom: Jo <jo@example.org>\nDate: Monday\nTo: desk\n\nText\n",
        "> All of it is quoted\n",
        "Sent from my iPhone\n",
        "-- \nJo\n",
    ],
)
def test_a_body_with_nothing_else_stays_text(body: str) -> None:
    assert blocks(body) == [("text", body)]


@pytest.mark.parametrize(
    "body",
    [
        "On Monday 3 May 2024 at 10:15 he wrote:\n\nI know where you live.\n",
        "From: the station we walked on.\nThen home.\n",
        "He wrote:\nsomething\n",
        "A table:\n--------\nx | y\n",
        "This -- as I said -- is text\n",
        "To: be or not\nSubject: to debate\n",
        "Sent from my desk, which is much easier than my telephone would be.\n\nMore text.\n",
    ],
)
def test_what_the_sender_wrote_is_not_folded(body: str) -> None:
    assert blocks(body) == [("text", body)]


@pytest.mark.parametrize(
    "line",
    [
        "Sent from my iPhone",
        "Sent from Outlook for Android",
        "Get Outlook for iOS",
        "Von meinem iPhone gesendet",
        "Gesendet von Mail für Windows",
        "Envoyé de mon iPhone",
        "Enviado desde mi iPhone",
        "Inviato da iPhone",
        "Verzonden vanaf mijn iPhone",
        "Skickat från min iPhone",
        "Отправлено с iPhone",
        "iPhoneから送信",
        "从我的 iPhone 发送",
        "나의 iPhone에서 보냄",
    ],
)
def test_what_a_telephone_adds(line: str) -> None:
    assert kinds(f"Yes.\n\n{line}\n") == [("text", "Yes."), ("signature", line)]
    assert kinds(f"Yes.\n\n{line}\n\n> No?\n") == [("text", "Yes."), ("signature", line), ("quote", "> No?")]


def test_footer_of_a_mailing_list() -> None:
    body = "Text\n" + "_" * 47 + "\nsome mailing list\nlist@example.org\n"
    assert [kind for kind, _ in kinds(body)] == ["text", "signature"]


@given(
    st.lists(
        st.sampled_from(
            ["> a", "text", "", "-- ", "On 1/1/24 10:00 a@b wrote:", "From: x", "To: y", "Date: z", "|", "\r"]
        )
    )
)
def test_blocks_join_to_the_body(lines: list[str]) -> None:
    body = "\n".join(lines)
    found = blocks(body)
    assert "".join(text for _, text in found) == body
    assert all(kind in ("text", "quote", "signature") for kind, _ in found)


@pytest.mark.parametrize(
    "piece",
    [
        ">",
        "> a\n",
        "a:\n",
        "From: x\n",
        "On 1 2020 wrote:\n",
        "-- \n",
        "Sent from my x\n",
        "\n",
        "_",
        "_" * 50 + "\n",
        "a@b 10:10 wrote:\n\n\n",
    ],
)
def test_long_bodies(piece: str) -> None:
    body = piece * 50_000
    assert "".join(text for _, text in blocks(body)) == body


def test_showing_a_ticket_does_not_load_what_reads_mail() -> None:
    code = (
        "import sys, vrt.mail.quote; print({'mailparser', 'html_to_markdown', 'charset_normalizer'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
