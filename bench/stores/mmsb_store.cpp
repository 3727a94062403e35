// MMSB through its public face.
#include "stores/store.hpp"

#include <mmsb/mmsb.hpp>

#include <filesystem>
#include <fstream>
#include <optional>

namespace bench {

namespace {

class MmsbWriter final : public Writer {
public:
    explicit MmsbWriter(const mmsb::State& bus) : pages_(bus.pages()) {}
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        pages_[page].update(bytes);
    }

private:
    std::vector<mmsb::Page> pages_;
};

class Mmsb final : public Store {
public:
    Mmsb(const std::string& folder, mmsb::Durability durability)
        : config_{.path = folder, .durability = durability}, bus_(mmsb::start(config_)) {}
    void load(std::span<const std::byte> bytes) override {
        auto tx = bus_->transaction();
        for (std::size_t at = 0; at < bytes.size(); at += page_size)
            static_cast<void>(
                tx.create_page(page_size, {.contents = bytes.subspan(at, page_size)}));
        tx.commit();
    }
    std::unique_ptr<Writer> writer() override { return std::make_unique<MmsbWriter>(*bus_); }
    void read(std::uint64_t page, std::span<std::byte> out) override {
        bus_->page(mmsb::PageId{page + 1}).read_into(out);
    }
    std::vector<std::byte> read_all() override {
        std::vector<std::byte> bytes;
        for (const auto& page : bus_->pages()) {
            const auto all = page.read();
            bytes.insert(bytes.end(), all.begin(), all.end());
        }
        return bytes;
    }
    void checkpoint() override { bus_->checkpoint(); }
    void flush() override { bus_->wait_durable(mmsb::Sequence::newest); }
    void reopen() override {
        mmsb::stop(std::move(*bus_));
        lose_memory(config_.path);
        bus_ = mmsb::start(config_);
    }

private:
    mmsb::Config config_;
    std::optional<mmsb::State> bus_;
};

}  // namespace

Way mmsb_store(Survives survives) {
    const bool waits = survives == Survives::power_cut;
    const auto durability = waits ? mmsb::Durability::sync : mmsb::Durability::process;
    return {waits ? "MMSB, Durability::sync" : "MMSB",
            [=](const std::string& folder) { return std::make_unique<Mmsb>(folder, durability); }};
}

void lose_memory(const std::string& folder) {
    std::string arena;
    std::getline(std::ifstream(std::filesystem::path(folder) / "arena"), arena);
    if (!arena.empty()) std::filesystem::remove(arena);
}

void remove_store(const std::string& folder) {
    lose_memory(folder);
    std::filesystem::remove_all(folder);
}

}  // namespace bench
