"""Asks NVIDIA's Python verifier and ours about the same captures, and compares the answers.

Theirs is used as it is, but for its clock: certificates are looked at as of the time of each row, since
what the captures hold has expired. Run by scripts/compare-nvidia.
"""

import argparse
import base64
import http.server
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from datetime import datetime, timezone

from OpenSSL import crypto

NOW = {"at": None}


class TimedContext(crypto.X509StoreContext):
    """A verification whose clock shows the time of the row."""

    def __init__(self, store, certificate, chain=None):
        store.set_time(NOW["at"])
        super().__init__(store, certificate, chain)


crypto.X509StoreContext = TimedContext
warnings.simplefilter("ignore")
# NVIDIA's package writes its log into the working directory.
os.chdir(tempfile.mkdtemp())
from cryptography import x509  # noqa: E402
from cryptography.x509 import ocsp  # noqa: E402
from verifier.attestation import AttestationReport  # noqa: E402
from verifier.cc_admin_utils import CcAdminUtils  # noqa: E402
from verifier.config import BaseSettings, BlackwellSettings, HopperSettings  # noqa: E402
from verifier.rim import RIM  # noqa: E402
from verifier.utils import format_vbios_version  # noqa: E402
from verifier.verifier import Verifier  # noqa: E402

logging.disable(logging.CRITICAL)

AT = "2026-06-01T00:00:00Z"
RIM_AT = "2025-06-01T00:00:00Z"
SDK = "nvidia/attestation-sdk"
GO = "nvidia/go-nvattest"
H100 = (f"{GO}/test_raw_gpu_attestation_report.dat", f"{GO}/test_gpu_attestation_certificate_chain.dat")
DRIVER = f"{GO}/rim/NV_GPU_DRIVER_GH100_550.90.07.xml"
VBIOS = f"{GO}/rim/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml"

# Where the two differ on purpose. A row that agrees after all is an error too.
DIFFERENCES = {
    # name: (theirs, ours, why)
    "nvidia/trustee/hopper_coco_report1.txt": (
        "refused", "accepted",
        "One zero byte follows the signature. Theirs takes the last 96 bytes of the file for the signature; "
        "ours takes the bytes where the lengths say it stands, and allows zeros after it."),
}


def folder_rows(root):
    """(name, architecture, report, chain) of every GPU report that the folder has."""
    rows = []

    def text(path):
        data = (root / path).read_bytes()
        try:
            return bytes.fromhex(data.decode().strip())
        except (UnicodeDecodeError, ValueError):
            return data

    def add(name, architecture, report, chain):
        rows.append((name, architecture, report, chain))

    pairs = [
        (*H100, "HOPPER"),
        (f"{SDK}/gpu/hopperAttestationReport.txt", f"{SDK}/gpu/hopperCertChain.txt", "HOPPER"),
        (f"{SDK}/gpu/hopperAttestationReportExpired.txt", f"{SDK}/gpu/hopperCertChainExpired.txt", "HOPPER"),
        (f"{SDK}/gpu/hopperAttestationReport_unittest.txt", f"{SDK}/gpu/hopperCertChain_unittest.txt", "HOPPER"),
        (f"{SDK}/gpu/hopperAttestationReportInvalidSignature.txt", f"{SDK}/gpu/hopperCertChainExpired.txt", "HOPPER"),
        (f"{SDK}/gpu/blackwellAttestationReport.txt", f"{SDK}/gpu/blackwellCertChain.txt", "BLACKWELL"),
        ("nvidia/trustee/hopper_coco_report1.txt", "nvidia/trustee/hopper_coco_certs1.txt", "HOPPER"),
    ]
    for report, chain, architecture in pairs:
        if (root / report).is_file() and (root / chain).is_file():
            add(report, architecture, text(report), (root / chain).read_bytes())
    for path in sorted((root / SDK / "evidence_json").glob("*.json")):
        for index, entry in enumerate(json.loads(path.read_text())):
            if entry["arch"] in ("HOPPER", "BLACKWELL"):
                add(f"{path.relative_to(root)}[{index}]", entry["arch"], base64.b64decode(entry["evidence"]),
                    base64.b64decode(entry["certificate"]))
    for name in ("test_ppcie_data.json", "test_mpt_data.json"):
        path = root / GO / name
        if not path.is_file():
            continue
        data = json.loads(path.read_text())
        for index, gpu in enumerate(data["gpus"] if isinstance(data, dict) else data):
            chain = b"".join(base64.b64decode(c["pem"])
                             for c in gpu["CertificateChains"]["GpuAttestationCertificateChain"])
            architecture = "HOPPER" if str(gpu["GPUArchitecture"]) == "9" else "BLACKWELL"
            add(f"{path.relative_to(root)}[{index}]", architecture,
                base64.b64decode(gpu["AttestationReport"]["py/b64"]), chain)
    # Reports and chains that do not belong together, and reports with a bit changed.
    golden, chain = text(H100[0]), (root / H100[1]).read_bytes()
    other = (root / f"{SDK}/gpu/hopperCertChain.txt").read_bytes()
    add("the H100 report under another GPU's chain", "HOPPER", golden, other)
    for offset in (4, 100, 1000, len(golden) - 1):
        changed = bytearray(golden)
        changed[offset] ^= 1
        add(f"the H100 report with a bit of byte {offset} changed", "HOPPER", bytes(changed), chain)
    certificates = chain.split(b"-----END CERTIFICATE-----\n")
    add("the H100 chain without its second certificate", "HOPPER", golden,
        b"-----END CERTIFICATE-----\n".join(certificates[:1] + certificates[2:]))
    return rows


def manifest_rows(root):
    """(path, time) of every manifest that the folder has."""
    rows = []
    for folder in (f"{SDK}/rims", f"{GO}/rim", "nvidia/nvtrust/rims"):
        for path in sorted((root / folder).glob("*")):
            if path.suffix in (".xml", ".swidtag"):
                early = folder.startswith("nvidia/nvtrust")
                switch = "SWITCH" in path.name
                rows.append((str(path.relative_to(root)), "2024-06-01T00:00:00Z" if early else AT if switch else RIM_AT))
    return rows


def set_clock(at):
    NOW["at"] = datetime.fromisoformat(at.replace("Z", "+00:00")).astimezone(timezone.utc)


def load_chain(pem):
    """As their GpuCertificateChains does: the root that comes along is replaced by their own."""
    end = b"-----END CERTIFICATE-----"
    parts = [part + end for part in pem.split(end)[:-1]]
    chain = [crypto.load_certificate(crypto.FILETYPE_PEM, part) for part in parts][:-1]
    root = pathlib.Path(BaseSettings.DEVICE_ROOT_CERT).read_bytes()
    return chain + [crypto.load_certificate(crypto.FILETYPE_PEM, root)]


def settings_of(architecture):
    return HopperSettings() if architecture == "HOPPER" else BlackwellSettings()


def their_report(architecture, report, pem):
    """Chain, firmware identity and signature of a report. The nonce is the report's own: what they
    compare otherwise is what a driver says, which a capture does not have."""
    settings = settings_of(architecture)
    parsed = AttestationReport(report, settings)
    opaque = parsed.get_response_message().get_opaque_data()
    chain = load_chain(pem)
    fwid = opaque.get_data("OPAQUE_FIELD_ID_FWID")
    valid, _, _ = CcAdminUtils.verify_gpu_certificate_chain(chain, settings, fwid.hex())
    if not valid:
        return None
    driver = opaque.get_data("OPAQUE_FIELD_ID_DRIVER_VERSION").decode().rstrip("\0")
    vbios = format_vbios_version(opaque.get_data("OPAQUE_FIELD_ID_VBIOS_VERSION"))
    nonce = parsed.get_request_message().get_nonce()
    if not CcAdminUtils.verify_attestation_report(parsed, chain[0], nonce, driver, vbios, settings):
        return None
    return parsed, chain, driver, vbios, settings


def their_manifest(path, settings, revocation):
    """Schema, chain, revocation where there are answers, and signature of a manifest."""
    rim = RIM("driver" if "DRIVER" in path.name.upper() else "vbios", settings, rim_path=str(path))
    if revocation:
        return rim if rim.verify(rim.colloquialVersion, settings)[0] else None
    if not rim.validate_schema():
        return None
    root = crypto.load_certificate(crypto.FILETYPE_PEM, pathlib.Path(BaseSettings.RIM_ROOT_CERT).read_bytes())
    chain = rim.extract_certificates() + [root]
    mode = BaseSettings.Certificate_Chain_Verification_Mode.DRIVER_RIM_CERT
    valid, _, _ = CcAdminUtils.verify_certificate_chain(chain, settings, mode)
    return rim if valid and rim.verify_signature(settings) else None


def verdict(check):
    try:
        return "accepted" if check() else "refused"
    except Exception:  # noqa: BLE001 - whatever they raise, they refuse
        return "refused"


class Responder(http.server.BaseHTTPRequestHandler):
    """Answers OCSP requests with the responses that were captured."""

    answers = {}

    def do_POST(self):  # noqa: N802 - the library's name
        request = ocsp.load_der_ocsp_request(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.answers.get(request.serial_number, b"")
        self.send_response(200 if answer else 404)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def responder(root):
    for path in (root / GO / "ocsp").glob("*.der"):
        response = ocsp.load_der_ocsp_response(path.read_bytes())
        Responder.answers[response.serial_number] = path.read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Responder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    BaseSettings.set_ocsp_url(f"http://127.0.0.1:{server.server_port}/")
    BaseSettings.OCSP_NONCE_DISABLED = True
    return server


def golden_set(root, report, pem):
    """All that their verifier does with a GPU: chain, revocation, report, manifests, measurements."""
    accepted = their_report("HOPPER", report, pem)
    if not accepted:
        return False
    parsed, chain, driver, vbios, settings = accepted
    mode = BaseSettings.Certificate_Chain_Verification_Mode.GPU_ATTESTATION
    if not CcAdminUtils.ocsp_certificate_chain_validation(list(chain), settings, mode)[0]:
        return False
    rims = [their_manifest(root / path, settings, True) for path in (DRIVER, VBIOS)]
    return all(rims) and Verifier(parsed, *rims, settings=settings).verify(settings)


def seconds(work, rounds):
    """The shortest of several rounds: what the machine does besides only adds to it."""
    best = None
    for _ in range(rounds):
        start = time.perf_counter()
        assert work(), "the capture that is timed is refused"
        best = min(best or 1e9, time.perf_counter() - start)
    return best


def process_seconds(rounds):
    """Their command line tool on its own sample, which is the same H100 capture, up to its first request."""
    best = None
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "verifier.cc_admin", "--test_no_gpu", "--driver_rim", "x", "--vbios_rim", "x",
                        "--ocsp_url", "http://127.0.0.1:1/", "--ocsp_nonce_disabled"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        best = min(best or 1e9, time.perf_counter() - start)
    return best


def ours(program, lines):
    found = subprocess.run([program], input="".join(lines), capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--evidence", type=pathlib.Path, required=True)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    root = args.evidence.resolve()

    names, theirs, lines = [], [], []
    for name, architecture, report, pem in folder_rows(root):
        set_clock(AT)
        names.append(name)
        theirs.append(verdict(lambda: their_report(architecture, report, pem)))
        lines.append(f"report\t{AT}\t{report.hex()}\t{pem.hex()}\n")
    reports = len(names)
    for name, at in manifest_rows(root):
        set_clock(at)
        names.append(name)
        theirs.append(verdict(lambda: their_manifest(root / name, HopperSettings(), False)))
        lines.append(f"manifest\t{at}\t{(root / name).read_bytes().hex()}\n")

    wrong = 0
    verdicts = []
    for name, their, line in zip(names, theirs, ours(args.ours, lines), strict=True):
        mine, _, detail = line.partition("\t")
        expected = DIFFERENCES.get(name)
        if expected:
            fine, note = (their, mine) == expected[:2], f"  differs: {expected[2]}"
        else:
            fine, note = their == mine, ""
        wrong += not fine
        mark = "ok   " if fine else "WRONG"
        print(f"{mark} theirs {their:8}  ours {mine:8}  {name}{'  (' + detail + ')' if detail else ''}{note}")
        verdicts.append({"name": name, "theirs": their, "ours": mine, "detail": detail})
    print(f"{reports} reports and {len(names) - reports} manifests compared, {wrong} differences that nobody reviewed")

    server = responder(root)
    # Manifest signers of the golden set were valid then; their verifier does not look at nextUpdate.
    set_clock("2025-09-01T00:00:00Z")
    report, pem = (root / H100[0]).read_bytes(), (root / H100[1]).read_bytes()
    times = {
        "nvidia_python_report_seconds": seconds(lambda: their_report("HOPPER", report, pem), 20),
        "nvidia_python_everything_seconds": seconds(lambda: golden_set(root, report, pem), 5),
        "nvidia_python_process_seconds": process_seconds(3),
    }
    server.shutdown()
    for name, value in times.items():
        print(f"{name} {value:.4f}")
    if args.json:
        args.json.write_text(json.dumps({"verdicts": verdicts, **times}, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
