"""A strict OTLP metrics target: gRPC and HTTP/protobuf, one JSON line on stdout for each request.

    otlp_target.py [CERTIFICATE KEY AUTHORITY]

Listens on two free ports of loopback and says which in the first line. With a certificate it speaks TLS and asks the
client for a certificate of AUTHORITY. "faults" of a request names everything the specification does not allow: unknown
fields, missing ones, duplicate points, totals that go back, starts behind their points, buckets that do not add up.
"""

import gzip
import json
import math
import ssl
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf import unknown_fields
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as rpc

CUMULATIVE = 2
lock = threading.Lock()
before = {}  # last (start, time, total) of each cumulative stream


def unknown(message, path, faults):
    if len(unknown_fields.UnknownFieldSet(message)):
        faults.append(f"{path}: unknown fields")
    for field, value in message.ListFields():
        repeated = not isinstance(value, (Message, str, bytes)) and hasattr(value, "__len__")
        for item in value if repeated else [value]:
            if isinstance(item, Message):
                unknown(item, f"{path}.{field.name}", faults)


def attributes(pairs, path, faults):
    found = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        if not pair.key or kind is None or pair.key in found:
            faults.append(f"{path}: attribute {pair.key!r} is empty or there twice")
        else:
            found[pair.key] = getattr(pair.value, kind)
    return found


def stream(key, point, total, path, faults):
    """A cumulative point against the one before it."""
    if not 0 < point.start_time_unix_nano <= point.time_unix_nano:
        faults.append(f"{path}: start {point.start_time_unix_nano} is not before {point.time_unix_nano}")
    last = before.get(key)
    now = (point.start_time_unix_nano, point.time_unix_nano, total)
    if last and now[1] <= last[1]:
        faults.append(f"{path}: time does not go on")
    if last and total is not None and total < last[2] and now[0] < last[1]:
        faults.append(f"{path}: total went from {last[2]} to {total} without a new start")
    if last and now[0] < last[0]:
        faults.append(f"{path}: start went back")
    before[key] = now


def number(point, path, faults):
    kind = point.WhichOneof("value")
    if kind is None:
        faults.append(f"{path}: no value")
        return None
    value = getattr(point, kind)
    if not math.isfinite(value):
        faults.append(f"{path}: {value}")
    return value


def exponential(point, path, faults):
    counts = list(point.positive.bucket_counts)
    if point.count != point.zero_count + sum(counts) + sum(point.negative.bucket_counts):
        faults.append(f"{path}: count {point.count} is not the sum of the buckets")
    if counts and (not counts[0] or not counts[-1]):
        faults.append(f"{path}: empty buckets at the ends")
    if counts and 2 ** (point.positive.offset / 2**point.scale) < point.zero_threshold:
        faults.append(f"{path}: buckets reach into the zero bucket")
    return {
        "count": point.count,
        "sum": point.sum,
        "scale": point.scale,
        "zero": point.zero_count,
        "offset": point.positive.offset,
        "buckets": counts,
    }


def explicit(point, path, faults):
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    if len(counts) != len(bounds) + 1 or sum(counts) != point.count or bounds != sorted(set(bounds)):
        faults.append(f"{path}: buckets do not fit their bounds")
    return {"count": point.count, "sum": point.sum, "bounds": bounds, "buckets": counts}


READERS = {
    "gauge": number,
    "sum": number,
    "histogram": explicit,
    "exponential_histogram": exponential,
}


def points(metric, faults):
    kind = metric.WhichOneof("data")
    if kind not in READERS or not metric.name or not metric.unit or not metric.description:
        faults.append(f"{metric.name!r}: no name, unit, description or data")
        return {"kind": kind, "points": []}
    data = getattr(metric, kind)
    if kind != "gauge" and data.aggregation_temporality != CUMULATIVE:
        faults.append(f"{metric.name}: not cumulative")
    monotonic = kind == "sum" and data.is_monotonic
    found, seen = [], set()
    for point in data.data_points:
        named = attributes(point.attributes, metric.name, faults)
        key = (metric.name, json.dumps(named, sort_keys=True))
        path = f"{metric.name}{key[1]}"
        value = READERS[kind](point, path, faults)
        if key in seen:
            faults.append(f"{path}: there twice")
        seen.add(key)
        if not point.time_unix_nano:
            faults.append(f"{path}: no time")
        if kind != "gauge":
            total = point.count if "histogram" in kind else value if monotonic else None
            stream(key, point, total, path, faults)
        found.append({"attributes": named, "value": value})
    if not found:
        faults.append(f"{metric.name}: no points")
    return {"kind": "monotonic_sum" if monotonic else kind, "unit": metric.unit, "points": found}


def receive(request, via, headers):
    """Judges a request and says what was in it."""
    faults, metrics, resource = [], {}, {}
    unknown(request, "request", faults)
    for resource_metrics in request.resource_metrics:
        resource = attributes(resource_metrics.resource.attributes, "resource", faults)
        if "service.name" not in resource:
            faults.append("no service.name")
        for scope_metrics in resource_metrics.scope_metrics:
            if not scope_metrics.scope.name:
                faults.append("no scope")
            for metric in scope_metrics.metrics:
                if metric.name in metrics:
                    faults.append(f"{metric.name}: there twice")
                metrics[metric.name] = points(metric, faults)
    if not metrics:
        faults.append("no metrics")
    line = {"via": via, "headers": headers, "faults": faults, "resource": resource, "metrics": metrics}
    print(json.dumps(line), flush=True)


class Grpc(rpc.MetricsServiceServicer):
    def Export(self, request, context):
        with lock:
            receive(request, "grpc", {key: str(value) for key, value in context.invocation_metadata()})
        return service.ExportMetricsServiceResponse()


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {key.lower(): value for key, value in self.headers.items()}
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        fine = self.path == "/v1/metrics" and headers.get("content-type") == "application/x-protobuf"
        if fine:
            with lock:
                receive(service.ExportMetricsServiceRequest.FromString(body), "http", headers)
        self.send_response(200 if fine else 404)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main(files):
    server = grpc.server(futures.ThreadPoolExecutor(2), compression=grpc.Compression.NoCompression)
    rpc.add_MetricsServiceServicer_to_server(Grpc(), server)
    web = ThreadingHTTPServer(("127.0.0.1", 0), Http)
    if files:
        certificate, key, authority = (open(name, "rb").read() for name in files)
        credentials = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files[2])
        context.load_cert_chain(files[0], files[1])
        context.verify_mode = ssl.CERT_REQUIRED
        web.socket = context.wrap_socket(web.socket, server_side=True)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"grpc": port, "http": web.server_address[1]}), flush=True)
    web.serve_forever()


main(sys.argv[1:])
