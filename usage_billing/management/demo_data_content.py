"""The pieces of content that the demo's calls worked on. `ai_clients.assistants` makes rows of them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from usage_billing.management.demo_data import DAYS

NAMESPACE = uuid.UUID("5f0d3f0e-8f44-4e0a-9a53-0a4b3c1d7e21")
LOOKS_BACK = 0.25
"""How often a call is about the piece before the present one."""


@dataclass(frozen=True)
class DemoPiece:
    """A piece of content; `id` is the `content_id` of its calls. days_ago: when work on it began."""

    id: str
    title: str
    text: str
    platform: str
    content_type: str
    days_ago: int


Written = tuple[str, str, str, str]
"""Platform, content type, title, text."""

WRITTEN: dict[str, list[Written]] = {
    "severny-veter": [
        ("telegram", "post", "Зимние Хибины: с чего начать",
         "Первый зимний выход лучше делать одним днём: радиалка от базы, световой день шесть часов, термос и"
         " запасные варежки. Группы по восемь человек, выезд каждую субботу. До конца месяца скидка 15 % на прокат"
         " снегоступов."),
        ("vk", "post", "Пять ошибок со спальником",
         "Спальник «на минус десять» в минус десять не греет: это граница выживания, а не комфорта. Смотрите на первую"
         " цифру, сушите после каждой ночи и не храните сжатым. Половина клиентов проката ошибается именно здесь."),
        ("telegram", "video", "Как мы ловили сияние на Кольском",
         "Две ночи, минус двадцать и прогноз Kp 5. Рассказываем, где стояли, чем снимали и почему телефон сел первым."
         " В ролике — таблица выдержек и карта съездов с трассы."),
        ("vk", "article", "Карелия на байдарках: маршрут на шесть дней",
         "Сто километров от Суоярви до Шуи, четыре порога, два из них с обносом. Оптимальный срок — с 5 июня по"
         " 20 августа. Раскладка на группу из шести человек и список снаряжения — внутри."),
        ("telegram", "post", "Осенний сезон: даты и свободные места",
         "Открыли запись на сентябрь: плато Расвумчорр, Ловозерские тундры и выходные на Ладоге. Свободно 23 места,"
         " предоплата 30 %. Отмена за две недели — без удержаний."),
        ("vk", "post", "Комары: что работает на самом деле",
         "Проверили семь средств на Поное. Сетка и плотная одежда надёжнее любого спрея, а эфирные масла держатся"
         " двадцать минут. Рейтинг и цены — в карточках."),
        ("telegram", "article", "Аптечка на неделю: что положить и что выложить",
         "Пластырь, эластичный бинт, средство от диареи, жаропонижающее. Антибиотики — только по назначению врача."
         " Чек-лист на группу и на себя отдельно."),
        ("vk", "video", "Ловозеро: шаманская тропа за три дня",
         "Короткий маршрут для первого похода: 42 километра, набор высоты 900 метров, вертолёт не нужен. Смотрите"
         " таймлапс перевала Эльморайок."),
        ("telegram", "post", "Разносить ботинки за две недели",
         "Десять километров в день по асфальту — и мозолей не будет. Новая обувь — главная причина сходов с маршрута."
         " Если жмёт в пальцах на спуске, меняйте размер."),
        ("vk", "post", "Майские на Ладоге: итоги",
         "Прошли 180 километров по шхерам, ни одного дождливого дня. Спасибо 41 участнику! Фотографии — в альбоме,"
         " отзывы — в комментариях."),
    ],
    "romashka-media": [
        ("telegram", "article", "Самозанятые: что изменится с января",
         "Лимит дохода остаётся 2,4 млн рублей, но уведомление о снятии с учёта теперь приходит в приложение. Разбираем"
         " пять ситуаций на примерах и даём ссылки на закон 422-ФЗ."),
        ("vk", "post", "Чек пробит дважды: что делать",
         "Отмените лишний чек в приложении с причиной «ошибочно» — налог пересчитается сам. Срок не ограничен, но"
         " лучше до 9-го числа. Пошагово — в карточках."),
        ("telegram", "post", "Календарь с котами и датами уплаты",
         "По просьбам читателей: двенадцать котов, все сроки на год и место для заметок. Тираж 500 штук, предзаказ"
         " до пятницы."),
        ("telegram", "article", "Как договориться об отсрочке с банком",
         "Кредитные каникулы, реструктуризация, рефинансирование: чем они отличаются и что просить первым. Образец"
         " заявления внутри."),
        ("vk", "post", "Договор с дизайнером: пять пунктов",
         "Срок, число правок, передача прав, порядок оплаты, ответственность. Без третьего пункта логотип не ваш."),
        ("telegram", "post", "Личные финансы: опрос читателей",
         "Ответили 1 240 человек. 62 % ведут бюджет, каждый пятый — в тетради. Рассказываем, что это меняет."),
    ],
    "atlas-studio": [
        ("telegram", "post", "Winter release: templates that load faster",
         "Our new templates load in half the time and read well on a phone. Free for all plans until the end of the"
         " year. See the before and after on three client sites."),
        ("telegram", "article", "Typography on the web: a practical guide",
         "Line length, contrast and font licences in one place. A web licence is not a desktop licence: check before"
         " you publish."),
        ("youtube", "video", "Case study: a museum in four languages",
         "How we moved 600 pages to a new site in five weeks, with two editors and one spreadsheet."),
        ("telegram", "post", "Spring workshop: content that sells nothing",
         "Three hours, twelve seats, one honest brief. We write, cut and publish together."),
    ],
    "gorod-n": [
        ("vk", "article", "Мост закроют на ремонт в декабре",
         "Движение по Коммунальному мосту перекроют с 5 декабря на десять дней. Автобусы 8, 13 и 21 пойдут в объезд."),
        ("podcast", "episode", "Выпуск 41. Почему тополя не белят",
         "Говорим с ботаником о городских деревьях: что им вредит, сколько стоит посадка и кто за неё отвечает."),
        ("vk", "article", "Бюджет города: куда ушли деньги",
         "Дороги — 31 %, школы — 27 %, благоустройство — 9 %. Сравнили с прошлым годом и спросили мэрию."),
        ("podcast", "episode", "Выпуск 37. Ярмарка, которой сто лет",
         "История рынка на площади: от телег до терминалов оплаты. В гостях — продавщица с сорокалетним стажем."),
    ],
    "lumen-learning": [
        ("podcast", "episode", "Lesson 12. Reading a balance sheet",
         "Assets, liabilities and what lies between them, with the accounts of a bakery as the example."),
        ("podcast", "episode", "Lesson 11. Interest and time",
         "Why a small rate over many years beats a large one over few. Includes two exercises with answers."),
        ("podcast", "episode", "Lesson 10. Asking better questions",
         "Open and closed questions, and how to tell which one you need."),
    ],
}  # fmt: skip
"""Slug of an organisation → its pieces, newest first."""


def pieces(slug: str) -> Iterator[DemoPiece]:
    """The pieces of an organisation, newest first."""
    written = WRITTEN.get(slug, [])
    for place, (platform, content_type, title, text) in enumerate(written):
        id_ = str(uuid.uuid5(NAMESPACE, f"{slug} {title}"))
        yield DemoPiece(id_, title, text, platform, content_type, (place + 1) * DAYS // len(written) - 1)


def piece_on(slug: str, days_ago: int, dice: random.Random) -> DemoPiece | None:
    """The piece that a call of that day is about: the one of these weeks, or the one before."""
    in_work = [piece for piece in pieces(slug) if piece.days_ago >= days_ago][:2]
    if not in_work:
        return None
    return in_work[-1 if dice.random() < LOOKS_BACK else 0]
