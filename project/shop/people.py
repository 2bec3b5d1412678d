"""Believable customers of a shop that sells all over the world, the same ones for the same seed."""

import datetime
import unicodedata
import uuid
from dataclasses import dataclass
from random import Random

from .models import Customer

FIRST_DAY = datetime.datetime(2021, 1, 4, 8, 0, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Culture:
    """Names as people of one language write them; after the slash, as their e-mail addresses do."""

    language: str
    country_code: int
    given: str
    family: str

    def pick(self, random: Random) -> tuple[str, str, str]:
        """A given name, a family name and the local part of an e-mail address."""
        given, given_latin = _spellings(random.choice(self.given.split(", ")))
        family, family_latin = _spellings(random.choice(self.family.split(", ")))
        return given, family, f"{given_latin}.{family_latin}"


CULTURES = [
    Culture(
        "en",
        44,
        "Olivia, Noah, Anne-Marie, Siân, Zoë, Jean-Luc, Aoife, D'Arcy, Mary Jane, Kofi",
        "Smith, O'Brien, Smith-Jones, MacDonald, D'Angelo, Nuñez-O’Neill, Okafor, Li",
    ),
    Culture(
        "de",
        49,
        "Jürgen, Käthe, Björn, Anneliese, Søren",
        "Müller, Groß/gross, Schäfer-Lüttich, von der Heide",
    ),
    Culture("fr", 33, "François, Zoé, Jean-Noël, Maëlys, Loïc", "Lefèvre, d'Estaing, Dupont-Aignan, L’Écuyer"),
    Culture(
        "es",
        34,
        "Íñigo, Begoña, José María, Lucía",
        "Peña, García Márquez, Ibáñez, Güell",
    ),
    Culture(
        "pl",
        48,
        "Łukasz/lukasz, Małgorzata/malgorzata, Żaneta, Zbigniew",
        "Wójcik, Gżegżółka/gzegzolka, Śliwa",
    ),
    Culture(
        "cs",
        420,
        "Jiří, Božena, Květa, Radek",
        "Dvořák, Řezníček, Čapková",
    ),
    Culture("is", 354, "Þórunn/thorunn, Guðrún/gudrun, Björk", "Jónsdóttir, Stefánsson, Ægisdóttir/aegisdottir"),
    Culture(
        "tr",
        90,
        "İbrahim/ibrahim, Gülşah, Işıl/isil, Çağla",
        "Yıldız/yildiz, Öztürk, Şahin, Ağaoğlu",
    ),
    Culture(
        "vi",
        84,
        "Thị Hương, Đức/duc, Quỳnh, Tuấn",
        "Nguyễn, Trần, Phạm, Đặng/dang",
    ),
    Culture(
        "ru",
        7,
        "Анна/anna, Фёдор/fyodor, Елизавета/elizaveta",
        "Иванова/ivanova, Щербаков/shcherbakov, Ёлкина/yolkina",
    ),
    Culture(
        "uk",
        380,
        "Олена/olena, Ґжеґож/grzegorz, Мар'яна/maryana",
        "Шевченко/shevchenko, Їжакевич/yizhakevych",
    ),
    Culture(
        "bg",
        359,
        "Цветелина/tsvetelina, Ангел/angel",
        "Стоянова/stoyanova, Жечев/zhechev",
    ),
    Culture("el", 30, "Ελένη/eleni, Γιώργος/giorgos, Αϊτάνα/aitana", "Παπαδόπουλος/papadopoulos, Ξένου/xenou"),
    Culture(
        "ar",
        966,
        "محمد/mohammed, فاطمة/fatima, عبد الله/abdullah",
        "الحسن/alhassan, بن سعيد/binsaid, خوري/khoury",
    ),
    Culture(
        "he",
        972,
        "נועה/noa, יוסף/yosef, אביגיל/avigail",
        "כהן/cohen, לוי/levi, בן־דוד/bendavid",
    ),
    Culture(
        "hi",
        91,
        "अनुष्का/anushka, राजेश/rajesh, कृष्ण/krishna",
        "शर्मा/sharma, त्रिपाठी/tripathi",
    ),
    Culture(
        "th",
        66,
        "สมชาย/somchai, กัญญา/kanya",
        "ศรีสุวรรณ/srisuwan, วงศ์ใหญ่/wongyai",
    ),
    Culture(
        "zh",
        86,
        "伟/wei, 秀英/xiuying, 雨桐/yutong",
        "王/wang, 欧阳/ouyang, 李/li",
    ),
    Culture(
        "ja",
        81,
        "さくら/sakura, 健太/kenta, ユウキ/yuki",
        "山田/yamada, 髙橋/takahashi, 渡邊/watanabe",
    ),
    Culture(
        "ko",
        82,
        "서연/seoyeon, 민준/minjun",
        "김/kim, 박/park, 남궁/namgung",
    ),
    Culture(
        "ka",
        995,
        "ნინო/nino, გიორგი/giorgi",
        "ბერიძე/beridze, კაპანაძე/kapanadze",
    ),
    Culture(
        "hy",
        374,
        "Անահիտ/anahit, Արմեն/armen",
        "Սարգսյան/sargsyan, Պետրոսյան/petrosyan",
    ),
    Culture(
        "am",
        251,
        "ሰላም/selam, አበበ/abebe",
        "ከበደ/kebede, ተስፋዬ/tesfaye",
    ),
    Culture(
        "en",
        1,
        "Sunny ☀️/sunny, Rose 🌹/rose, Ana 👩🏽‍🚀/ana",
        "Day, Lee 🇨🇦/lee, Park",
    ),
]


def make_customer(index: int, random: Random) -> Customer:
    """Customer number `index` (from 0), not saved.

    Every tenth has no e-mail address, some have no name, no telephone or no birthday, one in 200 is a test
    account, and one in 100 is such that Blueshift must reject it (see `spoil`).
    """
    culture = CULTURES[index % len(CULTURES)]
    given, family, local_part = culture.pick(random)
    customer = Customer(
        id=uuid.UUID(int=random.getrandbits(128), version=4),
        customer_number=f"C-{index + 1:06}",
        email=f"{local_part}.{index + 1}@example.{random.choice(['com', 'net', 'org'])}",
        given_name=given if random.random() > 0.05 else "",
        family_name=family if random.random() > 0.05 else "",
        # Nobody's number: no country has subscribers' numbers that begin with four zeros.
        phone=f"+{culture.country_code}0000{random.randrange(10**5):05}" if random.random() > 0.2 else "",
        birth_date=_birthday(random) if random.random() > 0.3 else None,
        language=culture.language,
        marketing_consent=random.random() > 0.4,
        is_test_account=index % 200 == 150,
        created_at=FIRST_DAY + datetime.timedelta(seconds=random.randrange(4 * 365 * 24 * 60 * 60)),
    )
    if index % 10 == 9:
        customer.email = None
    if index % 100 == 36:
        spoil(customer, index // 100)
    return customer


def spoil(customer: Customer, kind: int) -> None:
    """Makes a customer one that Blueshift rejects: an e-mail, a first name or a telephone number in turn."""
    match kind % 3:
        case 0:
            number = customer.customer_number.lower()
            customer.email = f"{'a-very-long-mailbox-name-' * 2}{number}@example.com"
        case 1:
            customer.given_name = "Wolfeschlegelsteinhausenbergerdorff " * 2 + customer.given_name
        case _:
            customer.phone = "0800 0000 0000"


def _spellings(entry: str) -> tuple[str, str]:
    name, _, latin = entry.partition("/")
    return name, latin or _latin(name)


def _latin(name: str) -> str:
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", name.lower()) if letter.isascii() and letter.isalpha()
    )


def _birthday(random: Random) -> datetime.date:
    return datetime.date(1940, 1, 1) + datetime.timedelta(days=random.randrange(65 * 365))
