#include "log/golden_reader.hpp"
#include "log/golden_segment.hpp"

#include "log/support.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

namespace mmsb::log {
namespace {

using testing::Buffer;
using testing::GoldenReader;
using testing::GoldenSegment;

const std::string source_folder = MMSB_SOURCE_FOLDER;
const std::string golden_file = source_folder + "/tests/golden/segment.seg";
const std::string format_page = source_folder + "/docs/FORMAT.md";

std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    EXPECT_TRUE(in) << path;
    return {std::istreambuf_iterator<char>(in), {}};
}
Buffer golden() {
    const auto text = contents(golden_file);
    const auto bytes = bytes_of(text);
    return {bytes.begin(), bytes.end()};
}
GoldenReader reader_of(const Buffer& file) {
    std::vector<std::uint8_t> bytes;
    for (const auto b : file) bytes.push_back(std::to_integer<std::uint8_t>(b));
    return GoldenReader(std::move(bytes));
}
/// The block on the page that begins behind the line "```dump".
std::string dump_on_the_page() {
    const auto page = contents(format_page);
    const std::string begin = "```dump\n";
    const auto at = page.find(begin);
    if (at == std::string::npos) return {};
    const auto from = at + begin.size();
    return page.substr(from, page.find("```", from) - from);
}
/// The bytes that a dump's lines show: offset, two blanks, hex or "00 x n", at least two blanks.
Buffer bytes_shown(const std::string& dump) {
    Buffer out;
    std::istringstream lines(dump);
    for (std::string line; std::getline(lines, line);) {
        EXPECT_EQ(std::stoul(line.substr(0, 4), nullptr, 16), out.size()) << line;
        const auto shown = line.substr(6, std::min(line.find("  ", 6), line.size()) - 6);
        if (const auto times = shown.find(" x "); times != std::string::npos) {
            out.resize(out.size() + std::stoul(shown.substr(times + 3)));
            continue;
        }
        std::istringstream hex(shown);
        for (std::string byte; hex >> byte;) {
            out.push_back(static_cast<std::byte>(std::stoul(byte, nullptr, 16)));
        }
    }
    return out;
}

/// With MMSB_WRITE_GOLDEN=<folder> the file and its dump are written there, for a new format.
TEST(GoldenSegment, IsWhatTheLibraryWrites) {
    const GoldenSegment written;
    if (const char* folder = std::getenv("MMSB_WRITE_GOLDEN")) {
        const auto& file = written.file();
        std::ofstream(std::string(folder) + "/segment.seg", std::ios::binary)
            .write(reinterpret_cast<const char*>(file.data()),
                   static_cast<std::streamsize>(file.size()));
        std::ofstream(std::string(folder) + "/segment.dump") << reader_of(file).annotate();
    }
    const auto expected = golden();
    ASSERT_EQ(written.file().size(), expected.size());
    const auto differs = std::ranges::mismatch(written.file(), expected).in2 - expected.begin();
    EXPECT_EQ(static_cast<std::size_t>(differs), expected.size()) << "the first byte that differs";
}

TEST(GoldenSegment, ReadsByteByByteAsTheFormatPageSays) {
    std::string annotated;
    ASSERT_NO_THROW(annotated = reader_of(golden()).annotate());
    EXPECT_EQ(annotated, dump_on_the_page());
}

TEST(GoldenSegment, IsShownByteByByteOnTheFormatPage) {
    EXPECT_EQ(bytes_shown(dump_on_the_page()), golden());
}

TEST(GoldenSegment, IsRefusedByThePagesReaderWhereAByteDiffers) {
    const auto file = golden();
    for (std::size_t at = 0; at < file.size(); at += at < 64 || at >= 4096 ? 1 : 500) {
        auto changed = file;
        changed[at] ^= std::byte{4};
        EXPECT_THROW((void)reader_of(changed).annotate(), std::exception) << at;
    }
}

TEST(GoldenSegment, HoldsEachKindOfRecordAndEntryAndEachEncoding) {
    const auto file = golden();
    const auto header = decode_segment(std::span(file).first(segment_header_size)).value;
    ASSERT_TRUE(header);
    std::set<std::string> seen;
    const auto result = scan_segment(
        std::span(file).subspan(segment_header_size), *header, header->start + header->capacity,
        header->start, [&](const Record& record) {
            seen.insert("record " + std::to_string(static_cast<int>(record.kind)));
            if (record.blob) seen.insert("blob");
            if (record.kind != RecordKind::commit) return true;
            EntryReader entries(record.body);
            for (Entry entry; entries.next(entry);) {
                const auto& page = entry.page;
                if (entry.kind == EntryKind::edge)
                    seen.insert(entry.edge.added ? "edge" : "no edge");
                if (entry.kind == EntryKind::formula) {
                    seen.insert(entry.formula.added ? "formula" : "no formula");
                }
                if (entry.kind != EntryKind::page) continue;
                if (page.created) seen.insert("created");
                if (page.deleted) seen.insert("deleted");
                if (page.resized) seen.insert("resized");
                if (page.renamed) seen.insert("renamed");
                if (!page.metadata.empty()) seen.insert("metadata");
                if (!page.delta.empty()) {
                    seen.insert("delta " + std::to_string(std::to_integer<int>(page.delta[0])));
                }
            }
            return true;
        });
    EXPECT_EQ(result.end, ScanEnd::complete);
    const std::set<std::string> all{"record 1",   "record 3", "record 4", "record 5", "record 6",
                                    "record 7",   "blob",     "created",  "deleted",  "resized",
                                    "renamed",    "metadata", "edge",     "no edge",  "formula",
                                    "no formula", "delta 0",  "delta 16", "delta 32", "delta 17",
                                    "delta 18",   "delta 3"};
    EXPECT_EQ(seen, all);
}

}  // namespace
}  // namespace mmsb::log
