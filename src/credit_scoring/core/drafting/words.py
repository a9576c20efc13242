"""What names and values tell a reader who knows loans: protected attributes, later events, ids, good and bad."""

import re
from collections.abc import Iterable

from credit_scoring.core.drafting.names import normalised

_PROTECTED = (
    # English
    *(
        "sex",
        "sexe",
        "sexo",
        "gender",
        "age",
        "dob",
        "family_status",
        "personal_status",
        "birth*",
        "marital*",
        "married",
        "marriage",
        "spouse",
        "race",
    ),
    *("racial", "religio*", "nationalit*", "ethnic*", "foreign*", "citizen*", "immigra*", "disab*", "pregnan*"),
    *("veteran*", "sexual*", "skin", "caste", "tribe", "civil", "widow*", "divorce*", "mother_tongue", "native"),
    # German
    *("geschlecht*", "alter", "geburt*", "familienstand", "famges", "gastarb*", "staatsang*", "konfession", "herkunft"),
    *("behinder*", "schwanger*", "verheiratet", "ledig"),
    # French
    *("genre", "naissance", "situation_familiale", "matrimonial*", "nationalite", "handicap*", "enceinte", "marie"),
    # Spanish and Portuguese
    *("edad", "nacimiento", "estado_civil", "nacionalidad", "raza", "genero", "discapacidad", "embaraz*", "casado"),
    *("idade", "nascimento", "nacionalidade", "raca", "deficiencia", "gravid*", "etnia", "extranjer*", "estrangeir*"),
    # Dutch
    *("geslacht", "leeftijd", "geboorte*", "burgerlijke_staat", "nationaliteit", "godsdienst", "zwanger*"),
)
_NOT_A_PERSON = frozenset(
    (
        *("account", "acct", "bureau", "business", "car", "card", "client", "company", "credit", "customer", "debt"),
        *("employment", "firm", "history", "job", "line", "loan", "mortgage", "oldest", "newest", "file", "product"),
        *("property", "record", "relationship", "residence", "since", "trade", "vehicle", "house", "home", "building"),
        *("exchange", "currency"),
    )
)
"""Beside these words 'age' is that of a thing, and 'foreign' that of a currency."""

_PROXIES = ("zip*", "postcode*", "postal*", "plz", "codigo_postal", "postleitzahl", "neighbo*", "surname", "first_name")

_AFTER_OUTCOME = (
    *("recover*", "collection_recovery*", "collection_fee*", "charge_off*", "chargeoff*", "charged_off*", "write_off*"),
    *("writeoff*", "written_off*", "last_pymnt*", "last_payment*", "next_pymnt*", "next_payment*", "total_rec"),
    *("total_rec_*", "total_pymnt*", "total_payment*", "total_paid", "out_prncp*", "settlement*", "debt_settlement*"),
    *("hardship*", "default_date*", "date_default*", "date_of_default", "days_to_default", "time_to_default"),
    *("loan_status", "repaid*", "final_status", "foreclos*", "repossess*", "lgd", "last_credit_pull*", "last_fico*"),
    *("ausfalldatum", "verwertung*", "abschreibung*"),
)
_IDS = ("id", "ids", "key", "uuid", "guid", "nr", "no", "num", "number", "nummer", "ref", "reference", "rowid", "index")
_PERSON_IDS = frozenset(("applicant", "borrower", "client", "customer", "kunde", "kunden", "member", "person", "user"))
_ID_OF = _PERSON_IDS | frozenset(
    (
        *("account", "acct", "application", "case", "contract", "kredit", "loan", "record", "row", "vertrag", "sk"),
        "unnamed",
    )
)

_DECISION_DATES = (
    (
        *("decision*", "decided*", "approved*", "approval*", "entscheid*", "bewilligung*", "decisao", "aprovacao"),
        *("decisione", "delibera*", "aprobacion", "besluit*", "beslissing*", "as_of"),
    ),
    (
        *("application*", "applied*", "app_date", "submitted*", "submission*", "request*", "antrag*", "demande*"),
        *("solicit*", "pedido*", "proposta*", "richiesta*", "domanda*", "aanvraag*", "wniosk*"),
    ),
    (
        *("issue_d", "issue_date", "issued*", "origination*", "orig_date", "disburse*", "loan_date", "booking*"),
        *("created*", "concessao", "contratacao", "desembolso*", "octroi", "auszahlung*", "vergabe*"),
    ),
)
"""Words of a date by how well they name the moment of decision: that itself, the application, the pay-out."""

_DATES_OF_THEIR_OWN = ("date", "datum", "data", "fecha")
_OF_ANOTHER = (
    *(
        "last",
        "prev*",
        "next",
        "former",
        "first",
        "letzte*",
        "vorige*",
        "ultim*",
        "anterior*",
        "dernier*",
        "precedent*",
    ),
    *("laatste", "proxim*", "naechste*"),
)
"""Such a date is that of another application, not of this one."""

_TARGETS = (
    *("bad", "default*", "target", "class", "status", "outcome", "label", "y", "loan_status", "credit_risk", "kredit"),
    *("is_bad", "is_default", "bad_flag", "good_bad", "delinquen*", "charged_off", "repaid", "paid_back", "response"),
    *("serious_dlqin*", "seriousdlqin*", "creditability", "risk", "ausfall", "result"),
)
_TARGET_IS_BAD = (
    "bad",
    "default*",
    "delinq*",
    "charge*",
    "ausfall",
    "serious_dlqin*",
    "seriousdlqin*",
    "write_off",
    "arrears",
    "npl",
)
_TARGET_IS_GOOD = ("good", "repaid", "paid", "creditworthy", "performing", "fully_paid", "creditability", "gut")

_EXCLUDED = r"cancel|withdrawn|reject|declin|not? meet|does not meet|fraud|decease|duplicate|issued|refus"
_INDETERMINATE = r"current|grace|in progress|open|late|active|ongoing|running|laufend|en cours|1-30|pending|unknown"
_NEGATED = r"(?:\bnot?[ _-]|\bnon[ _-]?|\bun|\bnever[ _-]|\bkein[ _-]?)"
_BAD = (
    r"bad|default|charge[ds]?[ _-]?off|writ\w+[ _-]?off|delinq|arrear|past[ _-]?due|insolv|bankrupt|schlecht|ausfall|"
    r"d[ée]faut|mauvais|impago|moros|malo|mau\b|inadimpl|slecht|wanbetal|foreclos|repossess|fail|missed|90\+|loss|npl"
)
_GOOD = (
    r"good|paid|repaid|credit ?worthy|perform|no[ _-]arrears|settled|closed|gut\b|bezahlt|getilgt|bon\b|bueno|pagado|"
    r"bom\b|adimplente|goed|afbetaald|success|ok\b|solvent"
)
_YES = frozenset({"1", "y", "yes", "true", "t", "ja", "oui", "si", "sí", "sim", "j"})
_NO = frozenset({"0", "n", "no", "false", "f", "nein", "non", "nao", "não", "nee"})


def _meets(name: str, stems: Iterable[str]) -> bool:
    """Whether the words of ``name`` hold one of ``stems``; a star stands for any end of the word."""
    spaced = f"_{name}_"
    return any((f"_{stem[:-1]}" if stem.endswith("*") else f"_{stem}_") in spaced for stem in stems)


def is_protected(source: str) -> bool:
    """Whether a column called ``source`` probably holds a protected attribute."""
    name = normalised(source)
    return _meets(name, _PROTECTED) and not (_ambiguous(name) and set(name.split("_")) & _NOT_A_PERSON)


def _ambiguous(name: str) -> bool:
    clear = [
        stem for stem in _PROTECTED if stem not in ("age", "alter", "foreign*", "race", "civil", "native", "birth*")
    ]
    return not _meets(name, clear)


def is_proxy(source: str) -> bool:
    """Whether it probably tells where somebody lives or comes from, and so may stand for a protected attribute."""
    return _meets(normalised(source), _PROXIES)


def is_after_outcome(source: str) -> bool:
    """Whether it names something that happens only once a loan is running or has ended."""
    return _meets(normalised(source), _AFTER_OUTCOME)


def is_id(source: str) -> bool:
    """Whether it names a record rather than a property of it."""
    words = normalised(source).split("_")
    return words[-1] in _IDS[:6] or (words[-1] in _IDS and (len(words) == 1 or bool(set(words) & _ID_OF))) or (
        words[0] in ("id", "sk", "unnamed") and len(words) <= 4
    )  # fmt: skip


def is_person_id(source: str) -> bool:
    """Whether it names a person, who may have several records."""
    return is_id(source) and bool(set(normalised(source).split("_")) & _PERSON_IDS)


def decision_date_rank(source: str) -> int | None:
    """Return how well it names the day of the decision or application, 0 best; None where it does not."""
    name = normalised(source)
    if name in _DATES_OF_THEIR_OWN:
        return len(_DECISION_DATES)
    if _meets(name, _OF_ANOTHER):
        return None
    return next((rank for rank, stems in enumerate(_DECISION_DATES) if _meets(name, stems)), None)


def is_target(source: str) -> bool:
    """Whether it names what outcomes are usually called."""
    return _meets(normalised(source), _TARGETS)


def name_says(source: str) -> str | None:
    """Return 'bad' or 'good' when 1 or yes in a column of that name means that."""
    name = normalised(source)
    if _meets(name, ("good_bad", "no_default", "non_default")):
        return None
    return next(
        (told for told, stems in (("good", _TARGET_IS_GOOD), ("bad", _TARGET_IS_BAD)) if _meets(name, stems)), None
    )


def value_says(value: str) -> str | None:
    """Return what an outcome of this wording is: 'bad', 'good', 'indeterminate', 'excluded', or None."""
    text = value.strip().casefold().replace("_", " ")
    if re.search(_EXCLUDED, text):
        return "excluded"
    if re.search(rf"{_NEGATED}(?:{_GOOD})", text):
        return "bad"
    if re.search(rf"{_NEGATED}(?:{_BAD})", text):
        return "good"
    if re.search(rf"\b(?:{_BAD})", text):
        return "bad"
    if re.search(rf"\b(?:{_INDETERMINATE})", text):
        return "indeterminate"
    return "good" if re.search(rf"\b(?:{_GOOD})", text) else None


def is_yes(value: str) -> bool | None:
    """Return whether a value says yes or no; None when it says neither."""
    text = value.strip().casefold().removesuffix(".0")
    return True if text in _YES else False if text in _NO else None
