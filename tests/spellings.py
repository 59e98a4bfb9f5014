"""Values as people write them, in fields of every format: what comes back, and what is refused.

Invented or published examples; names, telephone numbers and addresses are those of a
generated sample or of public institutions.
"""

from __future__ import annotations

__all__ = ["ACCEPTED", "POLICY", "REFUSED"]

POLICY = """version: 1
fields:
  card: {format: card, keep: {last: 4}, min: 12, generator: random}
  ssn: {format: us_ssn, generator: ff1}
  nobody: {format: us_ssn, token_check: invalid, generator: random}
  itin: {format: us_itin, generator: ff1}
  iban: {format: iban, generator: ff1}
  phone: {format: phone, generator: ff1}
  phone_de: {format: phone, region: DE, generator: ff1}
  phone_us: {format: phone, region: US, generator: ff1}
  email: {format: email, generator: random}
  email_kept: {format: email, domain: kept, generator: random}
  name: {format: person_name, generator: random}
  name_own: {format: person_name, script: own, generator: random}
  address: {format: address, generator: random}
  date: {format: date, generator: ff1}
  date_dmy: {format: date, order: dmy, generator: ff1}
  date_mdy: {format: date, order: mdy, generator: random}
  uuid: {format: uuid, generator: ff1}
  ipv4: {format: ipv4, generator: ff1}
  integer: {format: integer, generator: ff1}
  decimal: {format: decimal, generator: ff1}
  postcode_us: {format: postcode, region: US, generator: random}
  postcode_ca: {format: postcode, region: CA, generator: random}
  postcode_gb: {format: postcode, region: GB, generator: random}
  passport: {format: document_number, generator: random}
  routing: {format: us_routing, generator: ff1}
  vin: {format: vin, generator: ff1}
  account: {format: {alphabet: digits, min: 8, max: 20}, generator: ff1}
  national_id: {format: {alphabet: alphanumeric, min: 6, max: 24}, generator: ff1}
  contract: {format: {template: "AC-{branch:digits:4}[ -/]{serial:digits:4-8}"}, generator: ff1}
  note: {format: surrogate, generator: random}
roles:
  all: [{fields: ["*"], allow: [tokenize, lookup, detokenize], view: full}]
principals:
  - {spiffe: "spiffe://example.org/all", roles: [all]}
"""

ACCEPTED: dict[str, list[str]] = {
    "card": [
        "5545634085461876",
        "5317 2506 2884 4522",
        "4916-4291-9510-4076",
        "4111.1111.1111.1111",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111\u20131111\u20131111\u20131111",
        "3782 822463 10005",
        "6759 6498 2643 8453",
        " 4111 1111 1111 1111 ",
    ],
    "ssn": [
        "078-05-1120",
        "078 05 1120",
        "078051120",
        "078.05.1120",
        "078\u201305\u20131120",
        "000-00-0000",
    ],
    "nobody": ["078-05-1120", "219-09-9999", "987654321"],
    "itin": ["900-70-1234", "900701234", "999 88 1234", "900\u201170\u20111234"],
    "iban": [
        "DE89 3704 0044 0532 0130 00",
        "de89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "GB29-NWBK-6016-1331-9268-19",
        "FR14 2004 1010 0505 0001 3M02 606",
        "CH93\u00a00076\u00a02011\u00a06238\u00a05295\u00a07",
        "NO93 8601 1117 947",
        "NL91ABNA0417164300",
        "CZ65 0800 0000 1920 0014 5399",
    ],
    "phone": [
        "+49 30 901820",
        "+49 (0)30 901820",
        "+1 (415) 555-2671",
        "+44 20 7946 0958",
        "+351 21 259 9035",
        "+420 224 371 111",
        "+33 1 42 68 53 00",
        "+33\u202f1\u202f42\u202f68\u202f53\u202f00",
        "+1.415.555.2671",
        "+86 10 6552 9988",
        "+81-3-3210-7000",
        "+27 11 784 3000",
        "+61 2 9374 4000",
    ],
    "phone_de": [
        "030 901820",
        "030/901820",
        "(030) 90 18 20",
        "0049 30 901820",
        "0171\u20131234567",
        "089-32168-0",
    ],
    "phone_us": [
        "(415) 555-2671",
        "415.555.2671",
        "1-415-555-2671",
        "415 555 2671",
        "011 49 30 901820",
    ],
    "email": [
        "MarieHamanova@armyspy.com",
        "patricia.desrosiers+news@superrito.com",
        "o'neal@fleckens.hu",
        "a@x.org",
        "用户@例え.テスト",
        "josé.garcía@münchen.example",
        "_x-1@sub.Domain.example",
        "user@[192.168.0.1]",
        "1234567890@qq.com",
    ],
    "email_kept": ["Bob.Ross@Paint.Example", "a@x.org"],
    "name": [
        "Marie Hamanová",
        "Patricia Desrosiers",
        "O'Neal",
        "O’Neal",
        "Anne-Marie van der Berg",
        "Jean‑Luc D’Arc",
        "Zoë",
        "Zoe\u0308",
        "Gal·la Placídia",
        'Robert "Bob" Smith, Jr.',
        "María (Mía) López",
        "Dr. Strauß",
        "Nguyễn Thị Minh Khai",
        "Þórður Ægisson",
        "İbrahim Çelik",
        "Αλέξανδρος Παπαδόπουλος",
        "Лук'ян Ковальчук",
        "李小龍",
        "山田\u3000太郎",
        "アンナ・マリア",
        "محمد بن سلمان",
        "שרה כהן",
        "김민준",
        "अमित शर्मा",
        "Ek",
        "X Æ A-12",
        "MCDONALD",
        "d'Artagnan",
        "Ng",
    ],
    "name_own": ["Ольга Иванова", "李小龍", "Σωκράτης", "김민준", "Marie Hamanová", "محمد"],
    "address": [
        "P.O. Box 255",
        "Avenida Noruega 42",
        "1659 Hoog St",
        "1659\u00a0Hoog\u2009St, Flat 4\u2013B",
        "183 Epimenidou Street",
        "Hauptstraße 5 a, 2. OG\r\n10115 Berlin",
        "12 rue de l'Église",
        "Piso 3º, 28004 Madrid",
        "東京都千代田区丸の内1-2-3",
        "ул. Ленина, д. 5, кв. 12",
        "Flat 4B, 221B Baker St.",
        "123 Main St #400",
        "c/o Smith & Sons",
        "٣ شارع النيل",
    ],
    "date": [
        "1982-03-29",
        "1982/3/29",
        "19820329",
        "1982.03.29",
        "1982. 03. 29.",
        "1982 03 29",
        "2024-02-29",
    ],
    "date_dmy": [
        "29.3.1982",
        "29. 3. 1982",
        "29/03/1982",
        "29-03-1982",
        "29 03 1982",
        "29 / 03 / 1982",
        "29.\u00a03.\u00a01982",
        "29.\u202f3.\u202f1982",
        "29\u00a0/\u00a003\u00a0/\u00a01982",
    ],
    "date_mdy": ["3/29/1982", "03/29/1982", "2/28/1956", "03-29-1982", "12.31.1999"],
    "uuid": [
        "6781b04d-7b5f-4c1a-bceb-b953e6ef70d7",
        "6781B04D-7B5F-4C1A-BCEB-B953E6EF70D7",
        "{6781b04d-7b5f-4c1a-bceb-b953e6ef70d7}",
        "urn:uuid:6781b04d-7b5f-4c1a-bceb-b953e6ef70d7",
        "URN:UUID:6781B04D-7B5F-4C1A-BCEB-B953E6EF70D7",
        "URN:UUID:6781b04d-7b5f-4c1a-bceb-b953e6ef70d7",
        "6781b04d7b5f4c1abcebb953e6ef70d7",
    ],
    "ipv4": ["192.168.10.77", "8.8.8.8", "255.255.255.255", "0.0.0.0"],  # noqa: S104 - a value
    "integer": ["42", "-7", "0", "123456789012345678"],
    "decimal": ["41.274541", "-7.876658", "0.05", "217.6", "1000000"],
    "postcode_us": ["90210", "90210-1234", "902101234", "90210 1234"],
    "postcode_ca": ["K1A 0B1", "k1a0b1", "K1A-0B1", "H0H 0H0"],
    "postcode_gb": ["SW1A 1AA", "sw1a1aa", "M1 1AE", "EC1A 1BB", "B33 8TH", "CR2 6XH", "JE2 3AB"],
    "passport": [
        "C01X00T47",
        "c01x00t47",
        "MORGA657054SM9IJ 35",
        "D123-4567-8901",
        "MH-1420110062821",
        "12345678-Z",
        "A123456(3)",
        "811228+9874",
        "45 08 123456",
        "5706114632083",
        "X-12345<67",
    ],
    "routing": ["021000021", "0210-0002-1", "0210 0002 1"],
    "vin": ["1M8GDM9AXKP042788", "1M8 GDM9AX KP042788", "WVWZZZ1JZXW000001"],
    "account": ["12345678", "1234-5678", "00 1234 5678", "1234.5678.90"],
    "national_id": ["078-05-1120", "AB 12 34 56 C", "ab123456c", "RSSMRA85T10A562S"],
    "contract": ["AC-1234 567890", "AC-1234567890", "AC-1234/5678"],
    "note": ["Called on Monday;\n\twants the refund — soon", "🙂", "x"],
}

# What each message asks to correct: words of it.
REFUSED: dict[str, list[tuple[str, str]]] = {
    "card": [
        ("4111 1111 1111 1112", "Luhn"),
        ("411111", "fewer than 12"),
        ("41111111111111111111111", "more than 19"),
        ("４１１１１１１１１１１１１１１１", "only the digits 0-9"),
        ("4111_1111_1111_1111", "only the digits 0-9"),
        ("XXXX-XXXX-XXXX-1111", "only the digits 0-9"),
        ("4519961983914549.0", "float"),  # with the zero it passes the Luhn check
        ("4111111111111111.00", "float"),
    ],
    "ssn": [
        ("12-3456789", "3-2-4"),
        ("078-05-112", "fewer"),
        ("078-05-11200", "more"),
        ("XXX-XX-1120", "only the digits"),
        ("078-05 1120", "same hyphen"),
    ],
    "itin": [("078-05-1120", "begins with 9"), ("900-93-1234", "50-65")],
    "iban": [
        ("DE88 3704 0044 0532 0130 00", "check digits"),
        ("DE89 3704 0044 0532 0130", "length"),
        ("US12 3456 7890 1234", "no country"),
        ("IBAN DE89 3704 0044 0532 0130 00", "without the word IBAN"),
        ("DE89/3704/0044/0532/0130/00", "slashes"),
        ("(DE89370400440532013000)", "brackets"),
    ],
    "phone": [
        ("030 901820", "write the phone number with +"),
        ("+1 415 555 2671 ext. 5", "extensions"),
        ("1-800-FLOWERS", "letters"),
        ("+1 000 000 0000", "no such phone number"),
        ("\u202a+14155552671\u202c", "only the digits"),
    ],
    "phone_us": [("84 23 30", "write it with +"), ("030 901820", "write a foreign one with +")],
    "email": [
        ("Bob Ross <bob@x.org>", "no spaces"),
        (" bob@x.org", "no spaces"),
        ("bob.x.org", "@"),
        ("bob@", "domain after its @"),
        ("@x.org", "nothing before its @"),
        ('"bob ross"@x.org', "no spaces"),
        ("mailto:bob@x.org", "no mailto:"),
        ("a@b@c.org", "@"),
    ],
    "name": [(" ", "no character besides separators"), ("Marie\nHamanová", "line breaks")],
    "address": [("...", "besides punctuation"), ("1 Main\x00St", "control characters")],
    "date": [
        ("29/03/1982", "year, month, day"),
        ("1982-02-30", "no such day"),
        ("82-03-29", "four"),
        ("1982-03-29T00:00:00", "date alone"),
        ("1982-3/29", "same hyphen"),
        ("1982年3月29日", "in digits"),
    ],
    "date_dmy": [("March 29, 1982", "in digits|date alone"), ("29.13.1982", "no such day")],
    "uuid": [
        ("6781b04d-7b5f-4c1a-bceb-b953e6ef70d", "32 hex"),
        ("uuid:6781b04d-7b5f-4c1a-bceb-b953e6ef70d7", "after urn:uuid:"),
        ("6781b04D-7b5f-4c1a-bceb-b953e6ef70d7", "one case"),
    ],
    "ipv4": [
        ("192.168.010.77", "leading zeros"),
        ("10.0.0.0/8", "four numbers"),
        ("::1", "four numbers"),
        ("1.2.3.256", "0 to 255"),
    ],
    "integer": [
        ("9223372036854775807", "18 digits: .* greater max"),
        ("1,234", "grouping"),
        ("007", "leading zeros"),
        ("+5", "in digits"),
        ("-0", "no sign"),
        ("1.0", "in digits"),
    ],
    "decimal": [
        ("1.234,56", "grouping"),
        ("€ 5", "currency"),
        ("1e5", "exponent"),
        (".5", "in digits"),
    ],
    "postcode_us": [("9021", "five digits"), ("K1A 0B1", "five digits")],
    "postcode_ca": [("D1A 0B1", "letter, digit"), ("90210", "letter, digit")],
    "postcode_gb": [("GIR 0AA", "A9 9AA"), ("SW1A", "A9 9AA")],
    "passport": [("AB12", "fewer than 6"), ("АА 123456", "letters A-Z")],
    "routing": [("021000022", "check digit"), ("02100002", "nine digits")],
    "vin": [
        ("1m8gdm9axkp042788", "as capitals"),
        ("1M8GDM9AXKP04278", "17 characters"),
        ("1M8GDM9AXKPO42788", "without I, O and Q"),
    ],
    "account": [("1234567", "fewer than 8"), ("1234 567X", "neither of the field's alphabet")],
    "contract": [("AC-12345", "fewer|template"), ("ac-1234 567890", "template")],
}
