// What no engine can beat: copying the page; finding the delta, copying, and appending a record
// with a checksum to warm memory.
#include "base/checksum.hpp"
#include "delta/codec.hpp"
#include "update/workload.hpp"

#include <cstring>

namespace bench {

namespace {

class Floor final : public Engine {
public:
    explicit Floor(bool append) : append_(append) {}
    std::string name() const override {
        return append_ ? "floor: diff, copy, append" : "floor: copy";
    }
    std::string survives() const override { return "nothing"; }
    void load(Model& model) override {
        pages_.resize(model.pages() * page_size);
        for (std::size_t n = 0; n < model.pages(); ++n)
            std::memcpy(page(n), model.page(n).data(), page_size);
        ring_.assign(ring_size, std::byte{1});
    }
    void update(std::size_t n, std::span<const std::byte> bytes) override {
        if (append_) {
            record_.clear();
            const mmsb::delta::Part part{0, {page(n), page_size}, bytes};
            mmsb::delta::encode({&part, 1}, page_size, record_);
            if (at_ + record_.size() + 16 > ring_.size()) at_ = 0;
            const auto sum = mmsb::base::crc32c(~0U, record_);
            std::memcpy(ring_.data() + at_, &sum, sizeof sum);
            std::memcpy(ring_.data() + at_ + 16, record_.data(), record_.size());
            at_ += 16 + record_.size();
        }
        std::memcpy(page(n), bytes.data(), page_size);
    }
    std::vector<std::byte> read(std::size_t n) override { return {page(n), page(n) + page_size}; }

private:
    static constexpr std::size_t ring_size = std::size_t{16} << 20U;
    std::byte* page(std::size_t n) { return pages_.data() + n * page_size; }
    bool append_;
    std::vector<std::byte> pages_{}, ring_{}, record_{};
    std::size_t at_ = 0;
};

}  // namespace

std::unique_ptr<Engine> copy_floor() { return std::make_unique<Floor>(false); }
std::unique_ptr<Engine> append_floor() { return std::make_unique<Floor>(true); }

}  // namespace bench
