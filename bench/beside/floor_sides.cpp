#include "beside/sides.hpp"

#include <sys/mman.h>

#include <cstring>
#include <stdexcept>
#include <vector>

namespace bench {

namespace {

class MemoryWriter final : public Writer {
public:
    explicit MemoryWriter(std::byte* pages) : pages_(pages) {}
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        std::memcpy(pages_ + page * page_size, bytes.data(), bytes.size());
    }

private:
    std::byte* pages_;
};

class MemoryReader final : public Reader {
public:
    explicit MemoryReader(const std::byte* pages) : pages_(pages) {}
    Moment read(std::uint64_t page, std::span<std::byte> out) override {
        std::memcpy(out.data(), pages_ + page * page_size, out.size());
        return 0;
    }
    Moment read_many(std::span<const std::uint64_t> pages) override {
        held_.resize(pages.size() * page_size);
        for (std::size_t i = 0; i < pages.size(); ++i)
            std::memcpy(held_.data() + i * page_size, pages_ + pages[i] * page_size, page_size);
        return 0;
    }
    std::span<const std::byte> held(std::size_t n) const override {
        return std::span(held_).subspan(n * page_size, page_size);
    }

private:
    const std::byte* pages_;
    std::vector<std::byte> held_{};
};

}  // namespace

Sides memcpy_sides(std::size_t bytes) {
    void* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("mmap failed");
    auto* const pages = static_cast<std::byte*>(memory);
    return {"memcpy (torn)",
            [=](const std::string&, std::span<const std::byte> all) {
                std::memcpy(pages, all.data(), all.size());
                return std::make_unique<MemoryWriter>(pages);
            },
            [=](const std::string&) { return std::make_unique<MemoryReader>(pages); }};
}

}  // namespace bench
