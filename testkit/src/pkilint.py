"""Lints many certificates in one process: a JSON list of files in, one JSON finding per line out.

The validator is the one that the linter's own command `lint_pkix_cert` builds.
"""

import json
import re
import sys

from pkilint import loader
from pkilint.pkix import certificate, extension, name

PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def validator():
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def certificates(file):
    with open(file, "rb") as stream:
        content = stream.read()
    blocks = [block.decode("ascii") for block in PEM.findall(content)] or [content]
    for block in blocks:
        try:
            yield loader.load_certificate(block, file)
        except ValueError as error:
            sys.exit(f"{file}: no certificate: {error}")


def findings(rules, document):
    for result in rules.validate(document.root):
        for description in result.finding_descriptions:
            yield {
                "severity": description.finding.severity.name,
                "code": description.finding.code,
                "place": result.node.path,
                "message": description.message or "",
            }


rules = validator()
for file in json.load(sys.stdin):
    for document in certificates(file):
        for finding in findings(rules, document):
            print(json.dumps({"file": file, **finding}))
