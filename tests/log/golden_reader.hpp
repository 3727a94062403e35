/// Reads a segment file by docs/FORMAT.md alone: nothing of the library's is used here, so that the
/// page, the file and the library are three witnesses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mmsb::log::testing {

class GoldenReader {
public:
    explicit GoldenReader(std::vector<std::uint8_t> file) : file_(std::move(file)) {}

    /// Every byte with what it means, as the page shows it. Throws std::runtime_error at the first
    /// byte that is not as the page says.
    std::string annotate();

private:
    struct Line {
        std::size_t at, size;
        std::string text;
    };

    void header();
    void record();
    void fields(unsigned kind, unsigned flags, std::size_t start, std::size_t padded_end);
    void body(unsigned kind, unsigned flags, std::size_t end);
    void entry();
    void page_entry(unsigned flags);
    void graph_entry(unsigned kind);
    void delta(std::size_t end, std::uint64_t page_size);
    std::uint64_t buckets(std::uint64_t page_size, std::size_t end);
    std::uint64_t runs(std::size_t width);
    std::uint64_t masks(std::size_t width);

    [[noreturn]] void refuse(const std::string& what) const;
    void expect(bool good, const std::string& what) const;
    std::uint64_t fixed(std::size_t size, std::string_view what, bool hex = false);
    std::uint64_t varint(std::string_view what);
    std::string text(std::string_view what);
    void bytes(std::size_t size, std::string_view what);
    void zeros(std::size_t size, std::string_view what);
    std::uint64_t peek(std::size_t at, std::size_t size) const;
    std::string rows(const Line& line) const;

    std::vector<std::uint8_t> file_;
    std::size_t at_ = 0;
    std::uint64_t salt_ = 0, start_ = 0, capacity_ = 0;
    std::vector<Line> lines_{};
};

/// CRC32C bit by bit, without inversion at either end.
std::uint32_t plain_crc32c(std::uint32_t seed, const std::uint8_t* bytes, std::size_t size);

}  // namespace mmsb::log::testing
