// Arbitrary bytes as a record, as entries, as metadata, as a source's name.
//
// What must hold: nothing outside the input is read; nothing is allocated by the parsers, so that
// one allocation of at most 1 MiB (-malloc_limit_mb=1) is enough for inputs of 64 KiB; each meaning
// has one encoding, so writing what was read gives the same bytes.
//
// Byte 0 is the mode. Sealed records have right checksums: what follows is kind, flags, fields,
// body.

#include "fuzz.hpp"
#include "log/record.hpp"
#include "sealed.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace {

using namespace mmsb;  // NOLINT(google-build-using-namespace): a program of one file
using log::Entry;

constexpr log::Lsn start = log::Lsn{1} << 20U;
constexpr log::Context context{.salt = 0x5a17, .base_time_ns = 1'000};
enum Mode : std::uint8_t { raw_record, sealed_record, entries, metadata, source, modes };

bool within(std::span<const std::byte> part, std::span<const std::byte> whole) {
    return part.empty() || (part.data() >= whole.data() &&
                            part.data() + part.size() <= whole.data() + whole.size());
}

void write(const Entry& entry, std::vector<std::byte>& out) {
    switch (entry.kind) {
        case log::EntryKind::page:
            return log::write_entry(entry.page, out);
        case log::EntryKind::edge:
            return log::write_entry(entry.edge, out);
        case log::EntryKind::formula:
            return log::write_entry(entry.formula, out);
    }
}

void try_metadata(std::span<const std::byte> bytes) {
    log::MetadataReader reader(bytes);
    std::vector<std::byte> again;
    for (std::string_view key, value; reader.next(key, value);) {
        FUZZ_CHECK(within(bytes_of(key), bytes) && within(bytes_of(value), bytes));
        log::write_metadata(key, value, again);
    }
    FUZZ_CHECK(reader.failed() || std::ranges::equal(again, bytes));
}

void try_entries(std::span<const std::byte> bytes) {
    log::EntryReader reader(bytes);
    std::vector<std::byte> again;
    for (Entry entry; reader.next(entry);) {
        FUZZ_CHECK(entry.kind != log::EntryKind::page || within(entry.page.delta, bytes));
        if (entry.kind == log::EntryKind::page) try_metadata(entry.page.metadata);
        write(entry, again);
    }
    constexpr std::size_t few = 4096;  // of which a list is small
    std::vector<log::PageEntry> pages;
    bool only_bytes = false;
    FUZZ_CHECK(bytes.size() > few || log::read_pages(bytes, pages, only_bytes) != reader.failed());
    if (reader.failed()) {
        FUZZ_CHECK(again.size() < bytes.size());
    } else {
        FUZZ_CHECK(std::ranges::equal(again, bytes));
    }
}

void try_record(std::span<const std::byte> bytes) {
    const auto parsed = log::parse_record(bytes, start, context);
    const auto& record = parsed.record;
    if (parsed.status == log::ParseStatus::bad) FUZZ_CHECK(*parsed.expected != '\0');
    if (parsed.status == log::ParseStatus::partial) FUZZ_CHECK(parsed.size > bytes.size());
    if (parsed.status != log::ParseStatus::good) return;
    FUZZ_CHECK(parsed.size <= bytes.size() && record.end == start + parsed.size);
    FUZZ_CHECK(within(record.body, bytes) && within(bytes_of(record.label), bytes));
    FUZZ_CHECK(!record.durable || record.durable <= record.end);
    std::vector<std::byte> again;
    if (record.kind == log::RecordKind::filler) {
        log::write_filler(parsed.size, start, context, again);
    } else {
        log::write_record(record, record.body, start, context, again);
    }
    FUZZ_CHECK(std::ranges::equal(again, bytes.first(parsed.size)));
    if (record.kind == log::RecordKind::commit) try_entries(record.body);
    if (record.kind == log::RecordKind::source) FUZZ_CHECK(log::read_source(record.body));
}

void try_source(std::span<const std::byte> bytes) {
    const auto read = log::read_source(bytes);
    if (!read) return;
    std::vector<std::byte> again;
    log::write_source(*read, again);
    FUZZ_CHECK(std::ranges::equal(again, bytes));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    switch (static_cast<Mode>(input.take<std::uint8_t>() % modes)) {
        case sealed_record: {
            const auto kind = input.take<std::uint8_t>();
            const auto flags = input.take<std::uint8_t>();
            std::vector<std::byte> record;
            fuzz::append_sealed(kind, flags, input.rest(), start, context, record);
            try_record(record);
            break;
        }
        case entries:
            try_entries(input.rest());
            break;
        case metadata:
            try_metadata(input.rest());
            break;
        case source:
            try_source(input.rest());
            break;
        default:
            try_record(input.rest());
            break;
    }
    return 0;
}
