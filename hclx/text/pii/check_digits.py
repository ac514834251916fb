"""Check digits of numbers that people, companies and payment cards have."""

_BUSINESS_WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3, 5)
_RESIDENT_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)


def digits_of(text: str) -> str:
    """ASCII digits of a text, in order; all other characters are left out."""
    return "".join(char for char in text if "0" <= char <= "9")


def is_luhn(digits: str) -> bool:
    """Returns whether the last digit is the check digit of the others (ISO/IEC 7812-1).

    Args:
      digits: one or more ASCII digits, see `digits_of`.
    """
    doubled = [int(d) * 2 if i % 2 else int(d) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def is_business_number(digits: str) -> bool:
    """Returns whether ten digits have the check digit of a Korean business registration number.

    Args:
      digits: exactly ten ASCII digits, see `digits_of`.
    """
    total = sum(int(d) * w for d, w in zip(digits, _BUSINESS_WEIGHTS)) + int(digits[8]) * 5 // 10
    return (10 - total % 10) % 10 == int(digits[9])


def is_resident_number(digits: str) -> bool:
    """Returns whether thirteen digits have the check digit of a resident or foreigner registration
    number issued before October 2020.
    Args:
      digits: exactly thirteen ASCII digits, see `digits_of`.
    """
    total = sum(int(d) * w for d, w in zip(digits, _RESIDENT_WEIGHTS))
    offset = 13 if digits[6] in "5678" else 11
    return (offset - total % 11) % 10 == int(digits[12])


def is_company_number(digits: str) -> bool:
    """Returns whether thirteen digits have the check digit of a Korean company registration number
    (법인등록번호).

    Args:
      digits: exactly thirteen ASCII digits, see `digits_of`.
    """
    total = sum(int(d) * (1 + i % 2) for i, d in enumerate(digits[:12]))
    return (10 - total % 10) % 10 == int(digits[12])


def is_bar_code(digits: str) -> bool:
    """Returns whether the last digit is the check digit of a GTIN, such as a bar code of thirteen
    digits (EAN-13).

    Args:
      digits: one or more ASCII digits, see `digits_of`.
    """
    return sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(reversed(digits))) % 10 == 0
